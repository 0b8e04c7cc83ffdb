//! Packets of blocked sources: the maximum drop rate.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use spamdrop_common::action::LONGEST_ANSWER;

use super::lane::{Drops, Lane, Scope, Shot};
use super::sink::Sink;
use super::subject::Subject;
use super::traffic::Sources;
use super::{Bench, capacity, peers, rounds, say, yardstick};
use crate::machine::available_memory;
use crate::sample::Sample;
use crate::table::{Bar, Case, Unit};

/// Numbers of blocked sources.
pub const NUMBERS: [u32; 4] = [64, 1 << 16, 1 << 20, LARGEST];
const LARGEST: u32 = 1 << 24;
/// With fewer sources, each sends often enough to be among the recent drops at once.
const MANY: u32 = 1 << 16;
/// Memory for lists of [`LARGEST`] sources, in bytes per source: twice as many
/// slots as sources, in two maps, and the data that fills them.
const MEMORY_PER_SOURCE: u64 = 640;

/// Capacity of xt_recent's list in a default kernel.
const RECENT_HOLDS: u32 = 100;
/// Capacity of xdp-filter's map.
const XDP_FILTER_HOLDS: u32 = 10_000;

/// Minimum share of the frames that have to find the queue full. With a lower
/// share, the generator rather than the receiver limits the rate.
const LEAST_OVERFLOW: f64 = 0.02;
/// Number of attempts to reach [`LEAST_OVERFLOW`]: the filter is nearly as fast as the
/// generator, and another virtual machine may slow down either.
const ATTEMPTS: usize = 3;

/// The contender that tells whether a round was disturbed: the filter's parser without a
/// look-up, so that nothing but the machine changes its rate.
const YARDSTICK: &str = "limit";
/// A round is undisturbed if the yardstick reaches at least this share of its best rate.
const LEAST_OF_BEST: f64 = 0.75;
/// One more round may be measured, in place of a disturbed one, for each this many wanted rounds.
const WANTED_PER_SPARE: usize = 2;

/// A program to be measured.
#[derive(Clone, Copy)]
struct Contender {
    name: &'static str,
    bar: Option<Bar>,
    scope: Scope,
    kind: Kind,
    /// How long it drops packets before each round.
    warm_up: Duration,
}

#[derive(Clone, Copy)]
enum Kind {
    Subject,
    WithoutList,
    WithList(fn(&Sink, Sources) -> Result<Drops>),
    /// Not measured, with the reason.
    Not(&'static str),
}

/// Measures spamdrop and its peers; `None` if the number is left out, because the run is
/// quick or there is not enough memory.
///
/// # Errors
///
/// spamdrop cannot be measured.
pub fn measure(bench: &Bench, number: u32) -> Result<Option<Case>> {
    let name = format!("hit, N = {number}, map of {}", capacity(number));
    if number == LARGEST {
        if bench.thoroughness.quick {
            return Ok(None);
        }
        let (needed, available) = (u64::from(number) * MEMORY_PER_SOURCE, available_memory()?);
        if available < needed {
            say(&format!(
                "{name}: left out, it needs {needed} bytes of memory, there are {available}"
            ));
            return Ok(None);
        }
    }
    say(&name);
    let lanes: Vec<_> = contenders(number)
        .into_iter()
        .map(|contender| {
            let lane = contender.lane(bench, Sources::listed(number));
            (contender, lane)
        })
        .collect();
    for _ in 1..ATTEMPTS {
        match table(name.clone(), shoot(bench, &lanes)?) {
            Ok(case) => return Ok(Some(case)),
            Err(error) => say(&format!("{name}: measured again, because {error:#}")),
        }
    }
    table(name, shoot(bench, &lanes)?).map(Some)
}

type Shots = Vec<(Contender, Result<Vec<Shot>>)>;
type Lanes = [(Contender, Result<Lane>)];

/// Runs all lanes in turn in every round, until enough rounds are undisturbed. If most
/// rounds are disturbed, all count.
fn shoot(bench: &Bench, lanes: &Lanes) -> Result<Shots> {
    let wanted = rounds(bench.thoroughness);
    let (mut all, mut kept) = (Vec::new(), Vec::new());
    while kept.len() < wanted && all.len() < wanted + wanted / WANTED_PER_SPARE {
        all.push(round(bench, lanes)?);
        kept = undisturbed(&all);
    }
    say(&format!(
        "{} of {} rounds were undisturbed",
        kept.len(),
        all.len()
    ));
    if kept.len() * 2 < wanted {
        kept = (0..all.len()).collect();
    }
    let shots = |name| kept.iter().map(|number| Ok(all[*number][name])).collect();
    Ok(lanes
        .iter()
        .map(|(contender, lane)| match lane {
            Ok(_) => (*contender, shots(contender.name)),
            Err(error) => (*contender, Err(anyhow!("{error:#}"))),
        })
        .collect())
}

/// The shots of one round, by the names of the contenders.
type Round = HashMap<&'static str, Shot>;

fn round(bench: &Bench, lanes: &Lanes) -> Result<Round> {
    let measured = lanes
        .iter()
        .filter_map(|(contender, lane)| Some((contender, lane.as_ref().ok()?)));
    measured
        .map(|(contender, lane)| {
            let shot = lane
                .warm_up(&bench.source, bench.cores, contender.warm_up)
                .and_then(|()| lane.shoot(&bench.source, bench.cores, bench.thoroughness.length));
            Ok((contender.name, shot.with_context(|| contender.name)?))
        })
        .collect()
}

/// The numbers of the rounds in which the yardstick was about as fast as in its best one. In
/// the others, another virtual machine took the caches or the memory's bandwidth.
fn undisturbed(rounds: &[Round]) -> Vec<usize> {
    let rate = |round: &Round| round.get(YARDSTICK).map_or(0.0, |shot| shot.rate);
    let best = rounds.iter().map(rate).fold(0.0, f64::max);
    let is_undisturbed = |number: &usize| rate(&rounds[*number]) >= best * LEAST_OF_BEST;
    (0..rounds.len()).filter(is_undisturbed).collect()
}

/// Collects the rates; fails if the receiver was not the bottleneck.
fn rates(shots: &[Shot]) -> Result<Sample> {
    let sample = |figure: fn(&Shot) -> f64| Sample(shots.iter().map(figure).collect());
    let rate = sample(|shot| shot.rate);
    ensure!(
        sample(|shot| shot.overflow).median() >= LEAST_OVERFLOW,
        "the generator is slower: at least {:.3} M/s",
        rate.median() / 1e6
    );
    Ok(rate)
}

/// The share of its core that the receiver got, in percent.
fn share(shots: &[Shot]) -> f64 {
    Sample(shots.iter().map(|shot| shot.share).collect()).median() * 100.0
}

fn table(name: String, shots: Shots) -> Result<Case> {
    let mut shots = shots.into_iter();
    let (subject, first) = shots.next().context("no subject")?;
    let first = first.with_context(|| subject.name)?;
    let name = format!("{name}; receiver busy {:.0} %", share(&first));
    let rate = rates(&first).with_context(|| subject.name)?;
    let mut case = Case::new(name, Unit::PacketsPerSecond, subject.name, rate);
    for (contender, shots) in shots {
        match shots.and_then(|shots| rates(&shots)) {
            Ok(rate) => case.beside(contender.name, rate, contender.bar),
            Err(error) => case.without(contender.name, format!("{error:#}"), contender.bar),
        }
    }
    Ok(case)
}

impl Contender {
    fn lane(&self, bench: &Bench, sources: Sources) -> Result<Lane> {
        if let Kind::Not(why) = self.kind {
            bail!(why);
        }
        let sink = Sink::new(&bench.source, self.name)?;
        let drops = match self.kind {
            Kind::Subject => {
                Subject::attach(&sink, Some(sources), bench.thoroughness.slow)?.into_drops()
            }
            Kind::WithoutList => yardstick::without_list(self.name, &sink)?,
            Kind::WithList(install) => install(&sink, sources)?,
            Kind::Not(why) => bail!(why),
        };
        Lane::new(&bench.source, sink, sources, self.scope, drops, bench.cores)
    }
}

/// The contenders for a number of sources, spamdrop first.
fn contenders(number: u32) -> Vec<Contender> {
    let bars = Bars::for_sources(number);
    let smtp = Scope::default();
    let list = |name, bar, install| Contender {
        name,
        bar,
        scope: smtp,
        kind: Kind::WithList(install),
        warm_up: Duration::ZERO,
    };
    let mut contenders = vec![
        Contender {
            name: "spamdrop",
            bar: None,
            scope: smtp,
            kind: Kind::Subject,
            // The filter's cache of recent drops keeps a source for up to LONGEST_ANSWER.
            // After a shorter warm-up, the cache still fills, or no source has left it yet.
            warm_up: if number < MANY {
                Duration::ZERO
            } else {
                LONGEST_ANSWER
            },
        },
        Contender {
            name: YARDSTICK,
            bar: bars.limit,
            scope: Scope {
                clean: true,
                ..smtp
            },
            kind: Kind::WithoutList,
            warm_up: Duration::ZERO,
        },
        Contender {
            name: "untouched",
            bar: None,
            scope: Scope {
                clean: true,
                other_port: true,
            },
            kind: Kind::WithoutList,
            warm_up: Duration::ZERO,
        },
        list(
            "plain",
            bars.plain,
            yardstick::plain as fn(&Sink, Sources) -> Result<Drops>,
        ),
        list("nft", bars.nft, peers::nft),
        list("ipset", bars.ipset, peers::ipset),
        list("xt_recent", bars.recent, peers::xt_recent),
        Contender {
            name: "xdp-filter",
            bar: None,
            scope: Scope {
                other_port: true,
                ..smtp
            },
            kind: Kind::WithList(peers::xdp_filter),
            warm_up: Duration::ZERO,
        },
    ];
    for contender in &mut contenders {
        let why = match contender.name {
            "xt_recent" if number > RECENT_HOLDS => "its built-in list holds 100",
            "xdp-filter" if number > XDP_FILTER_HOLDS => "its map holds 10,000",
            "nft" | "ipset" if number == LARGEST => "filling it takes minutes",
            _ => continue,
        };
        contender.kind = Kind::Not(why);
    }
    contenders
}

#[derive(Default)]
struct Bars {
    limit: Option<Bar>,
    plain: Option<Bar>,
    recent: Option<Bar>,
    nft: Option<Bar>,
    ipset: Option<Bar>,
}

impl Bars {
    fn for_sources(number: u32) -> Self {
        let bar = |least| Some(Bar::AtLeast(least));
        let none = Self::default();
        match number {
            64 => Self {
                limit: bar(0.8),
                recent: bar(2.5),
                nft: bar(2.5),
                ipset: bar(4.0),
                ..none
            },
            65_536 => Self {
                limit: bar(0.6),
                nft: bar(3.0),
                ipset: bar(4.0),
                ..none
            },
            1_048_576 => Self {
                limit: bar(0.4),
                plain: bar(1.5),
                nft: bar(3.0),
                ipset: bar(3.0),
                ..none
            },
            LARGEST => Self {
                limit: bar(0.25),
                ..none
            },
            _ => none,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_disturbed_if_the_yardstick_is_slower_than_three_quarters_of_its_best() {
        let round = |rate| {
            let shot = Shot {
                rate,
                overflow: 0.5,
                share: 0.7,
            };
            Round::from([(YARDSTICK, shot)])
        };
        let rounds = [12.0, 5.0, 9.1, 8.9, 11.0].map(round);
        assert_eq!(undisturbed(&rounds), [0, 2, 4]);
        assert!(undisturbed(&[]).is_empty());
    }
}
