//! The effect of spamdrop in a small wave against the real Courier, with four
//! policies side by side: 23 listed senders, 10 slots, 0.4 s between a sender's
//! commands. A clean client counts how often it is served, and measures its
//! waits for the banner.
//!
//! `SPAMDROP_FULL=1` runs 3 waves of 40 s of each kind and takes medians;
//! otherwise, one wave of 20 s of each kind is run.

use std::fmt;
use std::path::Path;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use spamdrop_lab::client::Client;
use spamdrop_lab::courier::Options;
use spamdrop_lab::site::SERVER4;
use spamdrop_lab::{Courier, Site};

const ZOMBIES: usize = 23;
const SLOTS: u16 = 10;
/// Pause between the commands of a sender, and between the clean client's
/// sessions.
const PAUSE: Duration = Duration::from_millis(400);
const CLEAN_PAUSE: Duration = Duration::from_millis(500);

/// The name and configuration of each policy; `None` runs no spamdrop.
const POLICIES: [(&str, Option<&str>); 4] = [
    ("nothing", None),
    ("every packet, as in 2009", Some("compat = \"recent\"")),
    ("new connections only", Some("release = \"off\"")),
    ("spamdrop's defaults", Some("")),
];
const NOTHING: usize = 0;
const RECENT: usize = 1;
const SYN_ONLY: usize = 2;
const DEFAULTS: usize = 3;

/// The service that the clean client received.
#[derive(Clone, Default)]
struct Service {
    /// The wait for each banner, in seconds.
    waits: Vec<f64>,
    /// Whether the client's last connection was not served before the end.
    waiting: bool,
}

impl Service {
    fn served(&self) -> usize {
        self.waits.len()
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut waits = self.waits.clone();
        waits.sort_by(f64::total_cmp);
        let attempts = waits.len() + usize::from(self.waiting);
        write!(f, "{} of {attempts}", waits.len())?;
        match waits.get(waits.len() / 2) {
            Some(median) => write!(f, ", median {median:.2} s"),
            None => Ok(()),
        }
    }
}

#[test]
fn wave() {
    let full = std::env::var_os("SPAMDROP_FULL").is_some();
    let (rounds, length) = if full { (3, 40) } else { (1, 20) };
    let length = Duration::from_secs(length);
    let polite = median_of(rounds, |_| false, length);
    let half_rude = median_of(rounds, |zombie| zombie % 2 == 1, length);

    eprintln!(
        "| {:24} | {:25} | {:25} |",
        "blocked", "all polite", "half rude"
    );
    for (((name, _), polite), rude) in POLICIES.iter().zip(&polite).zip(&half_rude) {
        eprintln!(
            "| {name:24} | {:25} | {:25} |",
            polite.to_string(),
            rude.to_string()
        );
    }
    for services in [&polite, &half_rude] {
        let served = [NOTHING, RECENT, SYN_ONLY, DEFAULTS].map(|policy| services[policy].served());
        let least = if full { 60 } else { 20 };
        assert!(served[DEFAULTS] >= least, "{served:?}");
        let best = served[..DEFAULTS].iter().max().copied().unwrap_or(0);
        assert!(served[DEFAULTS] * 10 >= best * 9, "{served:?}");
        assert!(served[RECENT] <= 2, "{served:?}");
    }
}

/// For each policy, chooses the round with the median number of clean sessions
/// that were served.
fn median_of(rounds: usize, rude: impl Fn(usize) -> bool + Sync, length: Duration) -> Vec<Service> {
    let rounds: Vec<_> = (0..rounds).map(|_| side_by_side(&rude, length)).collect();
    let of_policy = |policy: usize| {
        let mut services: Vec<_> = rounds.iter().map(|round| round[policy].clone()).collect();
        services.sort_by_key(Service::served);
        services.swap_remove(services.len() / 2)
    };
    (0..POLICIES.len()).map(of_policy).collect()
}

fn side_by_side(rude: &(impl Fn(usize) -> bool + Sync), length: Duration) -> Vec<Service> {
    let sites = POLICIES.map(|_| site());
    let daemons: Vec<_> = POLICIES
        .iter()
        .zip(&sites)
        .map(|((_, config), site)| {
            let config = (*config)?;
            site.configure(config).unwrap();
            Some(site.run().unwrap())
        })
        .collect();
    let services = scope(|scope| {
        let waves: Vec<_> = sites
            .iter()
            .map(|site| scope.spawn(move || one_wave(site, rude, length)))
            .collect();
        waves.into_iter().map(|wave| wave.join().unwrap()).collect()
    });
    drop(daemons);
    services
}

fn site() -> Site<Courier> {
    let options = Options {
        slots: SLOTS,
        listed4: vec!["100.66.0.0/16".into()],
        ..Options::default()
    };
    Site::with_courier(Path::new(env!("CARGO_BIN_EXE_spamdrop")), &options).unwrap()
}

fn one_wave(
    site: &Site<Courier>,
    rude: &(impl Fn(usize) -> bool + Sync),
    length: Duration,
) -> Service {
    let end = Instant::now() + length;
    scope(|scope| {
        for zombie in 0..ZOMBIES {
            scope.spawn(move || {
                while Instant::now() < end {
                    // The sender continues whether it was refused, reset or too
                    // late.
                    let _ = zombie_session(site, zombie, rude(zombie), end);
                }
            });
        }
        scope
            .spawn(move || clean_sessions(site, end))
            .join()
            .unwrap()
    })
}

/// Runs a session of a listed sender. Each sender has a /24 of its own, because
/// Courier limits the connections from one /24.
fn zombie_session(
    site: &Site<Courier>,
    zombie: usize,
    rude: bool,
    end: Instant,
) -> std::io::Result<()> {
    let mut client = connect(site, &format!("100.66.{zombie}.66"), end)?;
    client.read_reply()?;
    for command in [
        "EHLO zombie.example",
        "MAIL FROM:<spam@zombie.example>",
        "RCPT TO:<postbox@here.example>",
    ] {
        sleep(PAUSE);
        client.command(command)?;
    }
    if rude {
        // The sender waits until the server closes, or the wave ends.
        return client.expect_close(end.saturating_duration_since(Instant::now()));
    }
    sleep(PAUSE);
    client.quit().map(drop)
}

fn clean_sessions(site: &Site<Courier>, end: Instant) -> Service {
    let mut service = Service::default();
    while Instant::now() < end {
        let start = Instant::now();
        let banner = connect(site, "100.64.1.1", end).and_then(|mut client| {
            client.read_reply()?;
            let wait = start.elapsed();
            client.quit()?;
            Ok(wait)
        });
        match banner {
            Ok(wait) => service.waits.push(wait.as_secs_f64()),
            Err(_) => service.waiting = true,
        }
        sleep(CLEAN_PAUSE);
    }
    service
}

fn connect(site: &Site<Courier>, source: &str, end: Instant) -> std::io::Result<Client> {
    let dest = (SERVER4, 25).into();
    let source = source.parse().ok();
    let left = end.saturating_duration_since(Instant::now());
    // `connect` rejects a timeout of 0.
    Client::connect(
        &site.world,
        source,
        dest,
        left.max(Duration::from_millis(1)),
    )
}
