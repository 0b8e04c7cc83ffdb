//! Packets that pass: what they cost, with the caches warm.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use aya::TestRun as _;
use aya::programs::{TestRunAttrs, TestRunOptions, Xdp};
use rustix::time::{ClockId, clock_gettime};

use super::sink::Sink;
use super::subject::Subject;
use super::traffic::{CLEAN, Sources, syn};
use super::yardstick::{LEAST, Yardstick};
use super::{Bench, rounds, say};
use crate::machine::pin;
use crate::sample::Sample;
use crate::table::{Bar, Case, Unit};

/// Runs of one system call.
pub const REPEAT: u32 = 1 << 19;
/// System calls of one round.
const CALLS: u32 = 4;
/// As many as the default map holds.
const FULL: u32 = 262_144;

/// Measures a clean sender and another port, with an empty and a full list.
///
/// # Errors
///
/// The kernel refuses something.
pub fn measure(bench: &Bench) -> Result<Vec<Case>> {
    say("packets that pass");
    let subject = |name, sources| {
        let sink = Sink::new(&bench.source, name)?;
        Ok((Subject::attach(&sink, sources, bench.pace.slow)?, sink))
    };
    let lists: [Result<(Subject, Sink)>; 2] = [
        subject("empty", None),
        subject("full", Some(Sources::listed(FULL))),
    ];
    // Attached, because the kernel calls an attached program more directly.
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
            let [spamdrop, parse_only, plain] = apart(|| compare(bench, programs, &frame))?;
            let name = format!("{name}, {what} list");
            let mut case = Case::new(name, Unit::Nanoseconds, "spamdrop", spamdrop);
            case.beside("parse_only", parse_only, Some(Bar::AtMost(bar)));
            case.beside("plain", plain, None);
            cases.push(case);
        }
    }
    Ok(cases)
}

/// In a thread of its own: those that this one starts later would inherit its
/// core.
fn apart<T: Send>(job: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let joined = thread::scope(|scope| scope.spawn(job).join());
    joined.unwrap_or_else(|_| Err(anyhow!("a thread panicked")))
}

fn compare<const N: usize>(
    bench: &Bench,
    programs: [&Xdp; N],
    frame: &[u8],
) -> Result<[Sample; N]> {
    pin(None, bench.cores.receiver)?;
    let mut samples = [(); N].map(|()| Sample::default());
    for _ in 0..rounds(bench.pace) {
        for (program, sample) in programs.into_iter().zip(&mut samples) {
            sample.0.push(nanoseconds(program, frame, CALLS)?);
        }
    }
    Ok(samples)
}

/// What a run of the program on a frame takes, in this thread's CPU time, so
/// that others who want the core do not count. (The kernel measures it too,
/// but in whole nanoseconds.)
///
/// # Errors
///
/// The kernel refuses.
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
