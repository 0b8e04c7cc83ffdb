//! Attacks on the gate: floods and idle connections must not keep strangers
//! out, and known senders must not wait at all.
//!
//! `SPAMDROP_FULL=1` sends the floods at the rates of the field, the fastest as
//! fast as this machine can; `cargo xtask bench --only flood` raises the rate
//! until strangers wait.

use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::thread::scope;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;
use spamdrop_lab::forger::{Forger, Syn};
use spamdrop_lab::strangers::{Arrivals, banners, seconds};
use spamdrop_lab::wait::until;
use spamdrop_lab::wave::{Flood, FloodSources, FloodSpec};
use spamdrop_lab::{Client, Site, site};

use super::{SPAMDROP, is_full};

const SLOTS: u32 = 40;
const STRANGERS: u32 = 12;
const ARRIVALS: Arrivals = Arrivals {
    apart: Duration::from_millis(250),
    timeout: Duration::from_secs(33),
};
/// No kernel repeats a SYN sooner, so a sender that got its banner by then did
/// not wait at the gate.
const AT_ONCE: Duration = Duration::from_millis(900);
const READY_WITHIN: Duration = Duration::from_secs(10);
/// Number of known senders that connect. As many other addresses are known, too; the
/// forger may use these.
const KNOWN: u32 = 4;

/// An attack, and the maximum time until a stranger's banner.
struct Attack {
    name: &'static str,
    flood: Option<FloodSpec>,
    /// SYNs with wrong checksums, all at once.
    burst: u32,
    /// Hosts that hold four idle connections each.
    hoarders: u8,
    within: Duration,
}

impl Attack {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            flood: None,
            burst: 0,
            hoarders: 0,
            within: Duration::from_secs(5),
        }
    }

    /// The number of SYNs before the first stranger: those of a second of the flood (at
    /// most 10,000), the whole burst, and those of the connections that are held.
    fn head_start(&self, held: usize) -> u64 {
        let flood = self.flood.map_or(0, |flood| flood.per_second);
        u64::from(flood.min(10_000) + self.burst) + held as u64
    }

    fn flood(name: &'static str, per_second: u32, change: fn(&mut FloodSpec)) -> Self {
        let mut flood = FloodSpec {
            repeated: 1.0,
            ..FloodSpec::new(per_second)
        };
        change(&mut flood);
        Self {
            flood: Some(flood),
            ..Self::new(name)
        }
    }
}

fn attacks() -> Vec<Attack> {
    let most = if is_full() { 400_000 } else { 15_000 };
    vec![
        Attack::flood("forged, repeated", 2_000, |_| {}),
        Attack::flood("one source", 2_000, |flood| {
            flood.sources = FloodSources::First(1);
        }),
        Attack::flood("wrong checksums", 600, |flood| {
            flood.has_wrong_checksums = true;
        }),
        Attack::flood("of a known sender", 1_000, |flood| {
            flood.sources = FloodSources::First(KNOWN);
            flood.repeated = 0.0;
        }),
        // A whole /24 of which some addresses are known.
        Attack::flood("near a known sender", 1_500, |flood| {
            flood.sources = FloodSources::First(256);
        }),
        Attack::flood("forged IPv6, half repeated", 1_000, |flood| {
            flood.sources = FloodSources::ManyV6;
            flood.repeated = 0.5;
        }),
        Attack::flood("never repeated", most, |flood| flood.repeated = 0.0),
        Attack {
            burst: 120,
            // Only SYNs between the burst and the next count wait.
            within: AT_ONCE,
            ..Attack::new("a burst on an idle server")
        },
        Attack {
            hoarders: 8,
            within: Duration::from_secs(15),
            ..Attack::new("idle connections")
        },
        Attack {
            hoarders: 4,
            ..Attack::flood("forged, with idle connections", 300, |_| {})
        },
    ]
}

/// The attacks run a few at a time, because much of their time is waiting; at
/// full rates each has the machine to itself.
#[test]
fn no_attack_keeps_strangers_out() {
    let mut attacks = attacks();
    let mut outcomes = Vec::new();
    let at_once = if is_full() { 1 } else { 3 };
    while !attacks.is_empty() {
        let some = attacks.split_off(attacks.len().saturating_sub(at_once));
        outcomes.extend(scope(|scope| {
            let threads: Vec<_> = some
                .iter()
                .map(|attack| scope.spawn(|| outcome(attack)))
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect::<Vec<_>>()
        }));
    }
    let mut failed = String::new();
    for outcome in &outcomes {
        eprintln!("{}", outcome.text);
        if outcome.is_bad {
            writeln!(failed, "{}", outcome.text).unwrap();
        }
    }
    assert!(failed.is_empty(), "\n{failed}");
}

struct Outcome {
    text: String,
    is_bad: bool,
}

fn outcome(attack: &Attack) -> Outcome {
    let site = Site::new(SPAMDROP.as_ref(), |_| {}).unwrap();
    site.configure(&format!("admit = \"on\"\nslots = {SLOTS}"))
        .unwrap();
    for sender in (0..KNOWN).flat_map(|number| [known(number), Forger::address(number)]) {
        site.spamdrop(&["known", "add", &sender.to_string()])
            .unwrap();
    }
    let _daemon = site.run_logging("info", &[]).unwrap();
    until("the filter to have the known senders", READY_WITHIN, || {
        let known = gate(&site)?["known"].as_u64();
        Ok((known == Some(u64::from(2 * KNOWN))).then_some(()))
    })
    .unwrap();
    let hoard = hoard(&site, attack.hoarders);
    let start = Instant::now();
    let flood = attack.flood.map(|spec| Flood::start(&site, spec).unwrap());
    burst(&site, attack.burst);
    until("the attack to be counted", READY_WITHIN, || {
        let gate = gate(&site)?;
        let refused = gate["refused"].as_array().into_iter().flatten();
        let counts = refused.chain([&gate["admitted"]]);
        let seen: u64 = counts.filter_map(Value::as_u64).sum();
        Ok((seen >= attack.head_start(hoard.len())).then_some(()))
    })
    .unwrap();
    let strangers = banners(&site, (0..STRANGERS).map(stranger).collect(), ARRIVALS);
    let known = banners(
        &site,
        (0..KNOWN).map(|number| known(number).into()).collect(),
        ARRIVALS,
    );
    let sent = flood.map_or(0, |flood| flood.stop().unwrap());
    let rate = sent as f64 / start.elapsed().as_secs_f64();
    drop(hoard);
    let is_late = |wait: &Option<Duration>, within| wait.is_none_or(|wait| wait > within);
    let is_bad = strangers.iter().any(|wait| is_late(wait, attack.within))
        || known.iter().any(|wait| is_late(wait, AT_ONCE));
    let text = format!(
        "{}: {rate:.0} SYNs/s; strangers {}; known senders {}",
        attack.name,
        seconds(&strangers),
        seconds(&known)
    );
    Outcome { text, is_bad }
}

fn stranger(number: u32) -> IpAddr {
    if number.is_multiple_of(3) {
        format!("2001:db8:64:{number:x}::7").parse().unwrap()
    } else {
        format!("100.65.{number}.7").parse().unwrap()
    }
}

fn known(number: u32) -> Ipv4Addr {
    Ipv4Addr::new(100, 66, number as u8, 25)
}

/// The gate's figures in `status`, which the daemon writes after a count.
fn gate(site: &Site) -> Result<Value> {
    let status: Value = serde_json::from_str(&site.status(&["--json"])?)?;
    Ok(status["daemon"]["state"]["gate"].clone())
}

/// Opens as many connections as the gate admits, four from each host.
fn hoard(site: &Site, hosts: u8) -> Vec<Client> {
    let sources = (0..hosts).flat_map(|host| [host; 4]);
    let connect = |host: u8| {
        let source: IpAddr = format!("100.67.0.{host}").parse().unwrap();
        let wait = Duration::from_millis(300);
        Client::connect(&site.world, Some(source), site::dest(source), wait).ok()
    };
    sources.filter_map(connect).collect()
}

fn burst(site: &Site, number: u32) {
    let forger = Forger::new(site).unwrap();
    for number in 0..number {
        let syn = Syn {
            sequence: number,
            has_wrong_checksum: true,
            ..Syn::new(Forger::address(number).into())
        };
        forger.send(&syn).unwrap();
    }
}
