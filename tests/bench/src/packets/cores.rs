//! Compares two cores with one.

use std::sync::Barrier;
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::TestRun as _;
use aya::programs::{TestRunOptions, Xdp};

use super::passing::nanoseconds;
use super::sink::Sink;
use super::subject::Subject;
use super::traffic::{Sources, syn};
use super::{Bench, rounds, say};
use crate::machine::pin;
use crate::sample::Sample;
use crate::table::{Bar, Case, Unit};

/// System calls per measurement.
const CALLS: u32 = 4;
/// The kernel's `XDP_DROP`.
const XDP_DROP: u32 = 1;

/// Measures drops by test runs on one core, then on two cores at once, with
/// different entries and with the same entry.
///
/// # Errors
///
/// The filter does not drop a listed source, or a system call failed.
pub fn measure(bench: &Bench) -> Result<Vec<Case>> {
    say("two cores");
    let sink = Sink::new(&bench.source, "cores")?;
    let sources = Sources::listed(64);
    let subject = Subject::attach(&sink, Some(sources), bench.thoroughness.slow)?;
    let program = subject.program()?;
    let cores = [bench.cores.receiver, bench.cores.generator];
    let mut listed = sources.each();
    let mut frame = || listed.next().map(|source| syn(source, 25));
    let (a, b) = frame().zip(frame()).context("less than two sources")?;
    let [a, b] = [&a, &b];
    for frame in [a, b] {
        ensure_dropped(program, frame)?;
    }
    let [mut one, mut different, mut same] = [(); 3].map(|()| Sample::default());
    for _ in 0..rounds(bench.thoroughness) {
        one.0.push(rate(program, &[(cores[0], a)])?);
        different
            .0
            .push(rate(program, &[(cores[0], a), (cores[1], b)])?);
        same.0.push(rate(program, &[(cores[0], a), (cores[1], a)])?);
    }
    let cases = [
        ("different entries", different, 1.5),
        ("the same entry", same, 1.0),
    ];
    Ok(cases
        .into_iter()
        .map(|(what, two, bar)| {
            let name = format!("two cores hit {what}");
            let mut case = Case::new(name, Unit::PacketsPerSecond, "spamdrop", two);
            case.beside("on one core", one.clone(), Some(Bar::AtLeast(bar)));
            case
        })
        .collect())
}

/// Runs the program once on a frame, and checks that it drops it.
fn ensure_dropped(program: &Xdp, frame: &[u8]) -> Result<()> {
    let options = TestRunOptions {
        data_in: Some(frame),
        ..TestRunOptions::new()
    };
    let run = program.test_run(options).context("cannot run a program")?;
    let action = run.return_value;
    ensure!(
        action == XDP_DROP,
        "a listed source is not dropped: the action is {action}, not {XDP_DROP}"
    );
    Ok(())
}

/// Measures the packets per second of all cores together.
fn rate(program: &Xdp, work: &[(usize, &Vec<u8>)]) -> Result<f64> {
    let ready = Barrier::new(work.len());
    let rates: Vec<Result<f64>> = thread::scope(|scope| {
        let threads: Vec<_> = work
            .iter()
            .map(|&(cpu, frame)| {
                let ready = &ready;
                scope.spawn(move || {
                    let pinned = pin(None, cpu);
                    // This comes before the check of `pinned`, because other
                    // threads wait at the barrier.
                    ready.wait();
                    pinned?;
                    Ok(1e9 / nanoseconds(program, frame, CALLS)?)
                })
            })
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, Result<f64>>| {
            thread
                .join()
                .unwrap_or_else(|_| Err(anyhow!("a thread panicked")))
        };
        threads.into_iter().map(join).collect()
    });
    rates.into_iter().sum()
}
