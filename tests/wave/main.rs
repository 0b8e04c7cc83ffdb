//! A botnet's wave against a small mail server, with and without spamdrop.
//!
//! `SPAMDROP_FULL=1` uses Courier's own numbers: 40 slots, and 1,500 bots in 90
//! s. Otherwise, the server is smaller and faster, and so is the wave.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "a measurement is shown")]

mod attacks;
mod checks;
mod farewell;
mod fates;
mod gate;
mod top;
mod week;

use std::path::Path;
use std::thread;

use spamdrop_lab::Wave;
use spamdrop_lab::wave::{Mode, Outcome, PredictionError, Scale, table};

use checks::Check;

const SPAMDROP: &str = env!("CARGO_BIN_EXE_spamdrop");
/// The seed of the senders and their arrivals.
const SEED: u64 = 1;

/// The requirements in each mode. Blocks alone do not lower the server's load,
/// because a sender is blocked only after it has taken a slot.
const CHECKS: [(Mode, &[Check]); 5] = [
    (
        Mode::Off,
        &[checks::height_is_uncut, checks::connections_are_seen],
    ),
    (Mode::Recent, &[checks::height_is_uncut]),
    (Mode::Defaults, &[checks::height_is_uncut]),
    (
        Mode::Admit,
        &[checks::height_is_cut, checks::known_do_not_wait],
    ),
    (
        Mode::Answer,
        &[
            checks::height_is_cut,
            checks::known_do_not_wait,
            checks::new_senders_enter,
            checks::listed_are_told,
        ],
    ),
];

fn is_full() -> bool {
    std::env::var_os("SPAMDROP_FULL").is_some_and(|value| value == "1")
}

fn scale() -> Scale {
    if is_full() {
        Scale::full()
    } else {
        Scale::small()
    }
}

/// The waves run side by side, because they need little CPU time.
#[test]
fn a_wave_in_every_mode() {
    let outcomes = thread::scope(|scope| {
        let waves = CHECKS.map(|(mode, _)| scope.spawn(move || wave(mode)));
        waves.map(|wave| wave.join().unwrap())
    });
    for (mode, _, error) in &outcomes {
        if let Some(error) = error {
            checks::replay_predicts_the_blocks(*mode, error);
        }
    }
    let errors = outcomes.each_ref().map(|(_, _, error)| error);
    let blocked = errors.into_iter().flatten().map(|error| error.blocked);
    assert!(blocked.sum::<usize>() >= 100, "{errors:?}");
    let outcomes = outcomes.map(|(mode, outcome, _)| (mode, outcome));
    let mut shown = Vec::new();
    table::write(&outcomes, &mut shown).unwrap();
    eprintln!("{}", String::from_utf8(shown).unwrap());
    for ((mode, checks), (_, outcome)) in CHECKS.iter().zip(&outcomes) {
        let json = serde_json::to_string(outcome).unwrap();
        eprintln!("{mode}: {json}");
        for check in *checks {
            check(&scale(), outcome);
        }
    }
}

fn wave(mode: Mode) -> (Mode, Outcome, Option<PredictionError>) {
    let wave = Wave::new(Path::new(SPAMDROP), mode, scale(), SEED);
    let wave = wave.unwrap();
    let outcome = wave.run().unwrap();
    let error = wave.prediction_error(&outcome).unwrap();
    (mode, outcome, error)
}
