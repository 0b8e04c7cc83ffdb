//! A wave against a real mail server with few slots: listed senders come again
//! and again, and each stranger comes once. There are more listed senders than slots, and
//! more strangers at a time. A known sender measures its wait for the banner.

use std::fmt::{self, Display};
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::site::{SERVER4, Site};

/// The slots of the mail server.
pub const SLOTS: u16 = 10;
/// Number of listed senders.
pub const ZOMBIES: usize = 23;
/// The network of the listed senders.
pub const LISTED: &str = "100.66.0.0/16";
/// Number of simultaneous strangers. Each has an address of its own, in a /24
/// of its own.
const STRANGERS: usize = 16;
const LENGTH: Duration = Duration::from_secs(30);
/// Pause before each command of a listed sender or a stranger.
const PAUSE: Duration = Duration::from_millis(400);
/// Pause between the sessions of the known sender.
const KNOWN_PAUSE: Duration = Duration::from_millis(500);

/// The effect of the wave on a site.
#[derive(Debug, Default)]
pub struct Outcome {
    /// The known sender's waits for the banner, in seconds.
    pub waits: Vec<f64>,
    /// Number of the known sender's connections that failed, or got no banner within the
    /// length of a wave.
    pub unserved: usize,
    /// Number of strangers whose recipient was accepted. They send no message.
    pub strangers: usize,
    /// Number of sessions of listed senders whose recipient was rejected with a 5xx.
    pub rejected: usize,
}

impl Outcome {
    /// The known sender's median wait, in seconds.
    #[must_use]
    pub fn median(&self) -> f64 {
        let mut waits = self.waits.clone();
        waits.sort_by(f64::total_cmp);
        waits.get(waits.len() / 2).copied().unwrap_or(f64::INFINITY)
    }
}

impl Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.waits.iter().copied().fold(0.0, f64::max);
        write!(
            out,
            "{} banners, median {:.2} s, longest {longest:.2} s; {} not served; \
             {} strangers accepted, {} replies 5xx",
            self.waits.len(),
            self.median(),
            self.unserved,
            self.strangers,
            self.rejected,
        )
    }
}

/// Runs a wave in which `known` is the known sender.
pub fn wave<S: Sync>(site: &Site<S>, known: &str) -> Outcome {
    let end = Instant::now() + LENGTH;
    let (next, strangers, rejected) = <(AtomicUsize, AtomicUsize, AtomicUsize)>::default();
    let mut outcome = scope(|scope| {
        for zombie in 0..ZOMBIES {
            let rejected = &rejected;
            scope.spawn(move || {
                while Instant::now() < end {
                    let source = format!("100.66.{zombie}.66");
                    if let Ok(500..600) = session(site, &source, end) {
                        rejected.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        for _ in 0..STRANGERS {
            let (next, strangers) = (&next, &strangers);
            scope.spawn(move || {
                while Instant::now() < end {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let source = format!("100.{}.{}.7", 70 + number / 250, number % 250);
                    if let Ok(250) = session(site, &source, end) {
                        strangers.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let sessions = scope.spawn(move || known_sessions(site, known, end));
        sessions.join().unwrap_or_default()
    });
    outcome.strangers = strangers.into_inner();
    outcome.rejected = rejected.into_inner();
    outcome
}

/// Runs a session up to RCPT, and returns the code of the reply to RCPT. A sender whose
/// recipient is accepted waits before QUIT, so that it holds its slot longer.
fn session<S>(site: &Site<S>, source: &str, end: Instant) -> io::Result<u16> {
    let mut client = connect(site, source, end)?;
    if let Err(error) = read_banner(&mut client) {
        sleep(PAUSE);
        return Err(error);
    }
    let mut code = 0;
    for command in [
        "EHLO zombie.example",
        "MAIL FROM:<spam@zombie.example>",
        "RCPT TO:<postbox@here.example>",
    ] {
        sleep(PAUSE);
        code = client.command(command)?.code;
    }
    if code == 250 {
        sleep(PAUSE * 4);
    }
    client.quit()?;
    Ok(code)
}

fn known_sessions<S>(site: &Site<S>, source: &str, end: Instant) -> Outcome {
    let mut outcome = Outcome::default();
    while Instant::now() < end {
        let start = Instant::now();
        // A session that begins just before the end of the wave may wait as long as others.
        let banner = connect(site, source, start + LENGTH).and_then(|mut client| {
            read_banner(&mut client)?;
            let wait = start.elapsed();
            client.quit()?;
            Ok(wait)
        });
        match banner {
            Ok(wait) => outcome.waits.push(wait.as_secs_f64()),
            Err(_) => outcome.unserved += 1,
        }
        sleep(KNOWN_PAUSE);
    }
    outcome
}

/// Reads the banner. A server that is full may send a 421 instead.
fn read_banner(client: &mut Client) -> io::Result<()> {
    match client.read_reply()?.code {
        220 => Ok(()),
        _ => Err(ErrorKind::ConnectionRefused.into()),
    }
}

fn connect<S>(site: &Site<S>, source: &str, end: Instant) -> io::Result<Client> {
    let left = end.saturating_duration_since(Instant::now());
    let left = left.max(Duration::from_millis(1));
    Client::connect(&site.world, source.parse().ok(), (SERVER4, 25).into(), left)
}
