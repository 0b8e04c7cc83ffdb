//! The effect of the gate and the responder in a wave. Listed senders come
//! again and again, and each stranger comes once; both are more than the slots
//! of the real Courier. A known sender measures its wait for the banner, with
//! the defaults and with both features.

use std::fs;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{scope, sleep};

use spamdrop_lab::site::SERVER4;

use super::*;

const SLOTS: u16 = 10;
const ZOMBIES: usize = 23;
/// Number of simultaneous strangers. Each has an address of its own, in a /24
/// of its own.
const STRANGERS: usize = 16;
const LENGTH: Duration = Duration::from_secs(30);
/// Pause between the commands of a sender, and between the known sender's
/// sessions.
const PAUSE: Duration = Duration::from_millis(400);
const CLEAN_PAUSE: Duration = Duration::from_millis(500);

/// The effect of the wave on a site.
#[derive(Debug, Default)]
struct Outcome {
    /// The known sender's waits for the banner, in seconds.
    waits: Vec<f64>,
    /// Number of the known sender's connections that were refused, or not
    /// served in the time of the wave.
    unserved: usize,
    /// Number of strangers whose mail was accepted.
    strangers: usize,
    /// Number of 511 replies that listed senders received.
    rejected: usize,
}

impl Outcome {
    fn median(&self) -> f64 {
        let mut waits = self.waits.clone();
        waits.sort_by(f64::total_cmp);
        waits.get(waits.len() / 2).copied().unwrap_or(f64::INFINITY)
    }
}

#[test]
fn a_known_sender_does_not_wait_while_more_strangers_come_than_there_are_slots() {
    let defaults = crowded(|_| String::new());
    let both = crowded(|site| {
        fs::write(site.path("resolv.conf"), "nameserver 127.0.0.1\n").unwrap();
        let [resolv_conf, syslog] = ["resolv.conf", "devlog"].map(|name| site.path(name));
        format!(
            "admit = \"on\"\nanswer = \"on\"\nresolv_conf = {resolv_conf:?}\nsyslog = {syslog:?}"
        )
    });
    let _daemons = [&defaults, &both].map(|site| {
        site.spamdrop(&["known", "add", CLEAN]).unwrap();
        site.run().unwrap()
    });
    until("the filter to know the sender", SOON, || {
        let status = site_gate(&both)?;
        Ok((status["known"] == 1).then_some(()))
    })
    .unwrap();
    let [defaults, both] = scope(|scope| {
        [&defaults, &both]
            .map(|site| scope.spawn(|| wave(site)))
            .map(|wave| wave.join().unwrap())
    });
    eprintln!("defaults: {}", told(&defaults));
    eprintln!("admit and answer: {}", told(&both));
    assert!(both.median() <= 0.1, "{both:?}");
    assert_eq!(both.unserved, 0, "{both:?}");
    assert!(defaults.median() > 0.1, "there was no wave: {defaults:?}");
    // The other senders are not starved.
    assert!(both.strangers >= 10, "{both:?}");
    assert!(both.rejected >= ZOMBIES, "{both:?}");
}

fn told(outcome: &Outcome) -> String {
    let Outcome {
        waits,
        unserved,
        strangers,
        rejected,
    } = outcome;
    let longest = waits.iter().copied().fold(0.0, f64::max);
    format!(
        "{} banners, median {:.2} s, longest {longest:.2} s; {unserved} not served; {strangers} strangers delivered, {rejected} replies 511",
        waits.len(),
        outcome.median()
    )
}

fn crowded(config: impl FnOnce(&Site<Courier>) -> String) -> Site<Courier> {
    let site = site(|options| {
        options.slots = SLOTS;
        options.listed4 = vec!["100.66.0.0/16".into()];
    });
    site.configure(&config(&site)).unwrap();
    site
}

fn site_gate(site: &Site<Courier>) -> anyhow::Result<Value> {
    let status: Value = serde_json::from_str(&site.status(&["--json"])?)?;
    Ok(status["daemon"]["state"]["gate"].clone())
}

fn wave(site: &Site<Courier>) -> Outcome {
    let end = Instant::now() + LENGTH;
    let (next, strangers, rejected) = <(AtomicUsize, AtomicUsize, AtomicUsize)>::default();
    let mut outcome = scope(|scope| {
        for zombie in 0..ZOMBIES {
            let rejected = &rejected;
            scope.spawn(move || {
                while Instant::now() < end {
                    let source = format!("100.66.{zombie}.66");
                    if let Ok(511) = session(site, &source, end) {
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
        scope.spawn(move || known(site, end)).join().unwrap()
    });
    outcome.strangers = strangers.into_inner();
    outcome.rejected = rejected.into_inner();
    outcome
}

/// Runs a session, and returns the code of the reply to RCPT. An accepted
/// sender waits before it quits, so that it holds its slot longer.
fn session(site: &Site<Courier>, source: &str, end: Instant) -> std::io::Result<u16> {
    let mut client = connect(site, source, end)?;
    client.read_reply()?;
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

fn known(site: &Site<Courier>, end: Instant) -> Outcome {
    let mut outcome = Outcome::default();
    while Instant::now() < end {
        let start = Instant::now();
        // A session that begins just before the end has its time as well.
        let banner = connect(site, CLEAN, start + LENGTH).and_then(|mut client| {
            client.read_reply()?;
            let wait = start.elapsed();
            client.quit()?;
            Ok(wait)
        });
        match banner {
            Ok(wait) => outcome.waits.push(wait.as_secs_f64()),
            Err(_) => outcome.unserved += 1,
        }
        sleep(CLEAN_PAUSE);
    }
    outcome
}

fn connect(site: &Site<Courier>, source: &str, end: Instant) -> std::io::Result<Client> {
    let left = end.saturating_duration_since(Instant::now());
    let left = left.max(Duration::from_millis(1));
    Client::connect(&site.world, source.parse().ok(), (SERVER4, 25).into(), left)
}
