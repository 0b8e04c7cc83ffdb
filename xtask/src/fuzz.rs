//! `cargo xtask fuzz`: builds the targets of `tests/fuzz` as cargo-fuzz does,
//! and runs each for a while.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use cargo_metadata::{Message, MetadataCommand};
use clap::Args;

use crate::command::{HOST_PACKAGES, cargo, output};
use crate::compiler::{Crates, add_flags};
use crate::tally::Tally;
use crate::test::FEATURE;
use crate::{say, setup};

const PACKAGE: &str = "spamdrop-fuzz";
/// The directory of seeds and dictionaries.
const DIRECTORY: &str = "tests/fuzz";
/// The directory of the fuzzer's corpus, its output and its findings.
const WORK: &str = "target/fuzz";
/// Maximum input length in bytes: twice the longest line of Courier.
const MAX_LEN: u32 = 2048;

/// Flags that instrument code for libFuzzer, as in cargo-fuzz. None of them
/// needs a nightly compiler. A sanitizer would, and finds nothing in code
/// without `unsafe`.
const FLAGS: &[&str] = &[
    "--cfg=fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
];

/// Options of `cargo xtask fuzz`.
#[derive(Args)]
pub struct Options {
    /// Targets [default: all]
    targets: Vec<String>,
    /// How long to run each target
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
}

/// A built target.
struct Target {
    name: String,
    program: PathBuf,
}

/// Runs the targets that the options select.
///
/// # Errors
///
/// A target does not exist or does not build, or an input caused a failure.
pub fn run(options: &Options) -> Result<()> {
    let tally = fuzz(&options.targets, Duration::from_secs(options.seconds))?;
    ensure!(tally.failed == 0, "{} targets failed", tally.failed);
    Ok(())
}

/// Fuzzes the `wanted` targets (all targets if `wanted` is empty) for `time` each, as
/// many at once as there are CPUs. Each target counts as one test.
///
/// # Errors
///
/// A target does not exist or does not build.
pub fn fuzz(wanted: &[String], time: Duration) -> Result<Tally> {
    setup::building()?;
    setup::fuzzing()?;
    let queue: Mutex<VecDeque<Target>> = Mutex::new(build(wanted)?.into());
    let tally = Mutex::new(Tally::default());
    let next = || {
        queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    };
    let worker = || {
        while let Some(target) = next() {
            let outcome = target.fuzz(time);
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.check(outcome);
        }
    };
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(worker);
        }
    });
    Ok(tally.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn build(wanted: &[String]) -> Result<Vec<Target>> {
    let names = names()?;
    if let Some(unknown) = wanted.iter().find(|name| !names.contains(name)) {
        bail!(
            "there is no target `{unknown}`; there are {}",
            names.join(", ")
        );
    }
    say("building the fuzz targets");
    // Only the workspace is instrumented, so that the other crates are those of the tests.
    let mut command = cargo(["build", "--features", FEATURE]);
    command.args(HOST_PACKAGES);
    command.arg("--message-format=json-render-diagnostics");
    for name in if wanted.is_empty() { &names } else { wanted } {
        command.args(["--bin", name]);
    }
    add_flags(&mut command, Crates::Workspace, FLAGS)?;
    let mut targets = Vec::new();
    for message in Message::parse_stream(output(&mut command)?.as_bytes()) {
        if let Message::CompilerArtifact(artifact) = message?
            && let Some(program) = artifact.executable
        {
            targets.push(Target {
                name: artifact.target.name,
                program: program.into(),
            });
        }
    }
    Ok(targets)
}

fn names() -> Result<Vec<String>> {
    let metadata = MetadataCommand::new().no_deps().exec()?;
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name == PACKAGE);
    let targets = &package.context("there is no fuzz package")?.targets;
    let programs = targets.iter().filter(|target| target.is_bin());
    Ok(programs.map(|target| target.name.clone()).collect())
}

impl Target {
    fn fuzz(&self, time: Duration) -> Result<()> {
        let name = &self.name;
        let log = Path::new(WORK).join(format!("{name}.log"));
        let status = self.command(time, &log)?.status()?;
        let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
        if !status.success() {
            bail!("{}", self.failure(&said, &log));
        }
        // Without coverage counters, the fuzzer would only try random inputs.
        ensure!(
            said.contains(" inline 8-bit counters"),
            "{name} was built without coverage"
        );
        let runs = number(&said, "stat::number_of_executed_units:");
        ensure!(runs > 0, "{name} ran no input; see {}", log.display());
        println!("fuzz {name}: {runs} inputs tried in {} s", time.as_secs());
        Ok(())
    }

    /// Makes the command that fuzzes this target. The fuzzer writes new inputs
    /// to the first directory, and only reads the seeds in the second one.
    fn command(&self, time: Duration, log: &Path) -> Result<Command> {
        let name = &self.name;
        let (inputs, findings) = (
            format!("{WORK}/corpus/{name}"),
            format!("{WORK}/artifacts/{name}/"),
        );
        fs::create_dir_all(&inputs)?;
        fs::create_dir_all(&findings)?;
        let mut command = Command::new(&self.program);
        command.args([inputs, format!("{DIRECTORY}/corpus/{name}")]);
        command.args([
            format!("-max_total_time={}", time.as_secs()),
            format!("-artifact_prefix={findings}"),
            format!("-max_len={MAX_LEN}"),
            // Time limit for one input, in seconds.
            "-timeout=10".into(),
            "-print_final_stats=1".into(),
        ]);
        let words = format!("{DIRECTORY}/{name}.dict");
        if Path::new(&words).exists() {
            command.arg(format!("-dict={words}"));
        }
        let log = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
        command.stdout(log.try_clone()?).stderr(log);
        Ok(command)
    }

    fn failure(&self, said: &str, log: &Path) -> String {
        let name = &self.name;
        let why = said
            .lines()
            .find(|line| line.contains("panicked at"))
            .unwrap_or_default();
        let input = said
            .lines()
            .find_map(|line| line.split("Test unit written to ").nth(1));
        let Some(input) = input else {
            return format!(
                "fuzz {name} failed without a finding; see {}",
                log.display()
            );
        };
        format!(
            "fuzz {name} failed: {why}\n  input: {input}\n  log: {}\n  \
             to reproduce: cargo run --package {PACKAGE} --bin {name} -- {input}",
            log.display()
        )
    }
}

fn number(said: &str, key: &str) -> u64 {
    let value = said.lines().find_map(|line| line.strip_prefix(key));
    value
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_told_with_its_input_and_how_to_reproduce_it() {
        let target = Target {
            name: "line".into(),
            program: PathBuf::new(),
        };
        let log = Path::new("target/fuzz/line.log");
        let said = "\
INFO: Loaded 1 modules   (512 inline 8-bit counters): 512 [0x1, 0x2)
thread '<unnamed>' (42) panicked at tests/fuzz/src/line.rs:67:13:
Test unit written to target/fuzz/artifacts/line/crash-ab12
";
        assert_eq!(
            target.failure(said, log),
            "\
fuzz line failed: thread '<unnamed>' (42) panicked at tests/fuzz/src/line.rs:67:13:
  input: target/fuzz/artifacts/line/crash-ab12
  log: target/fuzz/line.log
  to reproduce: cargo run --package spamdrop-fuzz --bin line -- target/fuzz/artifacts/line/crash-ab12"
        );
        let nothing = target.failure("cannot execute", log);
        assert_eq!(
            nothing,
            "fuzz line failed without a finding; see target/fuzz/line.log"
        );
    }

    #[test]
    fn reads_how_many_inputs_were_tried() {
        let said = "Done 7 runs\nstat::number_of_executed_units: 796915\nstat::x: 1\n";
        assert_eq!(number(said, "stat::number_of_executed_units:"), 796_915);
        assert_eq!(number(said, "stat::new_units_added:"), 0);
    }
}
