//! The cost of packets that pass, with warm caches.

use std::net::IpAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use aya::TestRun as _;
use aya::programs::{TestRunAttrs, TestRunOptions, Xdp};
use rustix::time::{ClockId, clock_gettime};
use spamdrop::clock;
use spamdrop::config::Config;
use spamdrop::kernel::blocklist::GateMaps;
use spamdrop_common::gate::{CLASSES, Gate, GateMode, Standing, Verdict};
use spamdrop_common::time::MonotonicNs;

use super::sink::Sink;
use super::subject::Subject;
use super::traffic::{CLEAN, Sources, data, syn};
use super::yardstick::{LEAST, Yardstick};
use super::{Bench, rounds, say};
use crate::machine::pin;
use crate::sample::Sample;
use crate::table::{Bar, Case, Unit};

/// Program runs per system call.
pub const REPEAT: u32 = 1 << 19;
/// System calls per round.
const CALLS: u32 = 4;
/// Capacity of the default map.
const FULL: u32 = 262_144;

/// Measures SYNs of a source that is not blocked, to port 25 and to another
/// port, with an empty and a full list, and its packets in different states of
/// the gate.
///
/// # Errors
///
/// A system call failed.
pub fn measure(bench: &Bench) -> Result<Vec<Case>> {
    say("packets that pass");
    let subject = |name, sources| {
        let sink = Sink::new(&bench.source, name)?;
        Ok((
            Subject::attach(&sink, sources, bench.thoroughness.slow)?,
            sink,
        ))
    };
    let lists: [Result<(Subject, Sink)>; 2] = [
        subject("empty", None),
        subject("full", Some(Sources::listed(FULL))),
    ];
    // The yardsticks are attached like the filter, because the kernel calls an
    // attached program more directly.
    let attached = |name, yardstick: Yardstick| {
        let sink = Sink::new(&bench.source, name)?;
        anyhow::Ok((yardstick.attach(&sink)?, sink))
    };
    let (parse_only, _sink) = attached("parse_only", Yardstick::load("parse_only", LEAST)?)?;
    let plain = [
        attached("plain_none", Yardstick::plain(None)?)?,
        attached("plain_full", Yardstick::plain(Some(Sources::listed(FULL)))?)?,
    ];
    let mut cases = Vec::new();
    for ((list, (plain, _sink)), what) in lists.into_iter().zip(&plain).zip(["an empty", "a full"])
    {
        let (subject, _sink) = list?;
        let programs = [subject.program()?, parse_only.program()?, plain.program()?];
        for (name, port, bar) in [("another port", 26, 1.1), ("clean sender", 25, 1.6)] {
            let frame = syn(CLEAN, port);
            let [spamdrop, parse_only, plain] =
                apart(|| compare(bench, programs, &frame, || Ok(())))?;
            let name = format!("{name}, {what} list");
            let mut case = Case::new(name, Unit::Nanoseconds, "spamdrop", spamdrop);
            case.beside("parse_only", parse_only, Some(Bar::AtMost(bar)));
            case.beside("plain", plain, None);
            cases.push(case);
        }
    }
    cases.extend(at_the_gate(bench, parse_only.program()?)?);
    Ok(cases)
}

/// Measures a clean sender's packets in different states of the gate.
fn at_the_gate(bench: &Bench, parse_only: &Xdp) -> Result<Vec<Case>> {
    let sink = Sink::new(&bench.source, "gate")?;
    let subject = Subject::attach(&sink, None, bench.thoroughness.slow)?;
    let mut gate_maps = sink
        .host
        .run(|| GateMaps::open(&Config::default().pin_dir))?;
    let (syn, data) = (syn(CLEAN, 25), data(CLEAN, 25));
    let mut cases = Vec::new();
    for (name, frame, state) in [
        ("data, the gate off", &data, State::Off),
        ("data, the gate refuses", &data, State::Refuses),
        ("SYN, the gate off", &syn, State::Off),
        ("SYN, the gate passes all", &syn, State::PassesAll),
        ("SYN, the gate prefers it", &syn, State::Prefers),
        ("SYN, the gate refuses it", &syn, State::Refuses),
    ] {
        let programs = [subject.program()?, parse_only];
        // The filter ignores a gate that was not written recently.
        let refresh = || state.set(&mut gate_maps);
        let [spamdrop, parse_only] = apart(|| compare(bench, programs, frame, refresh))?;
        let mut case = Case::new(name, Unit::Nanoseconds, "spamdrop", spamdrop);
        case.beside("parse_only", parse_only, None);
        cases.push(case);
    }
    Ok(cases)
}

/// The gate's treatment of a source that is not blocked.
#[derive(Clone, Copy, PartialEq)]
enum State {
    Off,
    PassesAll,
    Prefers,
    Refuses,
}

impl State {
    fn set(self, gate_maps: &mut GateMaps) -> Result<()> {
        let known = (self == Self::Prefers).then_some(CLEAN.into());
        gate_maps.know_exactly(known.map(|addr: IpAddr| addr.into()))?;
        let mode = if self == Self::Off {
            GateMode::Off
        } else {
            GateMode::On
        };
        let limit = if self == Self::PassesAll { u32::MAX } else { 0 };
        // With a verdict, the filter requests no look-up.
        let until = MonotonicNs::from_ns(u64::MAX);
        let standing = Standing::Unlisted as u32;
        let verdict = Verdict {
            host: 0,
            until,
            standing,
            zone: 0,
        };
        gate_maps.set_verdict(IpAddr::from(CLEAN).into(), verdict)?;
        gate_maps.set(Gate {
            written: clock::monotonic_ns(),
            mode: mode as u32,
            limits: [limit; CLASSES],
            ..Gate::default()
        })
    }
}

/// Runs `job`, which pins its thread to a core, in a new thread. Otherwise, threads that
/// the caller starts later would be pinned, too.
fn apart<T: Send>(job: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let joined = thread::scope(|scope| scope.spawn(job).join());
    joined.unwrap_or_else(|_| Err(anyhow!("a thread panicked")))
}

/// Measures each program in turn, and calls `prepare` before each measurement.
fn compare<const N: usize>(
    bench: &Bench,
    programs: [&Xdp; N],
    frame: &[u8],
    mut prepare: impl FnMut() -> Result<()>,
) -> Result<[Sample; N]> {
    pin(None, bench.cores.receiver)?;
    let mut samples = [(); N].map(|()| Sample::default());
    for _ in 0..rounds(bench.thoroughness) {
        for (program, sample) in programs.into_iter().zip(&mut samples) {
            prepare()?;
            sample.0.push(nanoseconds(program, frame, CALLS)?);
        }
    }
    Ok(samples)
}

/// Measures the time of one program run on a frame, in nanoseconds of this
/// thread's CPU time, so that other users of the core do not count. (The
/// kernel's own measurement is rounded to whole nanoseconds.)
///
/// # Errors
///
/// A system call failed.
pub fn nanoseconds(program: &Xdp, frame: &[u8], calls: u32) -> Result<f64> {
    let start = cpu_time();
    for _ in 0..calls {
        let options = TestRunOptions {
            data_in: Some(frame),
            repeat: REPEAT,
            attrs: TestRunAttrs::new(),
            ..TestRunOptions::new()
        };
        program.test_run(options).context("cannot run a program")?;
    }
    let runs = f64::from(REPEAT) * f64::from(calls);
    Ok((cpu_time() - start).as_nanos() as f64 / runs)
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        u32::try_from(time.tv_nsec).unwrap_or(0),
    )
}
