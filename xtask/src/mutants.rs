//! `cargo xtask mutants`: makes small changes to the code, and checks whether
//! the tests that need no root detect them.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use fastrand::Rng;
use regex::Regex;
use serde_json::Value;

use crate::command::{cargo, command_line, find, output, run as run_command};
use crate::say;

/// The directory of the source copies and their builds. It is on disk, because
/// a file system in memory may be too small.
const WORK: &str = "target/mutants";
/// The file of mutants that no test detects, and the reasons. A line is `regular
/// expression | reason`.
const SURVIVORS: &str = "xtask/survivors.txt";
/// The default packages, and the sample size of each; `None`: all mutants are tried.
const PACKAGES: [(&str, Option<usize>); 2] =
    [("spamdrop-common", None), ("spamdrop-core", Some(200))];
/// Minimum percentage of viable mutants that must be caught.
const LEAST: f64 = 95.0;

/// Options of `cargo xtask mutants`.
#[derive(Args)]
pub struct Options {
    /// Try this many mutants of --package, or else of spamdrop-core [default: 200 of
    /// spamdrop-core, all of another package]
    #[arg(long, value_name = "N")]
    sample: Option<usize>,
    /// The seed of the random sample
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Change this package [default: spamdrop-common and spamdrop-core]
    #[arg(long, value_name = "PACKAGE")]
    package: Option<String>,
}

/// Tries mutants and prints the outcome.
///
/// # Errors
///
/// Too few mutants were caught, one survived without a listed reason, or the
/// mutants could not be tried.
pub fn run(options: &Options) -> Result<()> {
    install_if_missing()?;
    let reasons = read_reasons(&fs::read_to_string(SURVIVORS).context(SURVIVORS)?)?;
    let mut failed = Vec::new();
    for (package, sample) in packages(options) {
        let names = draw(list(package)?, sample, options.seed);
        let outcome = try_all(package, &names)?;
        print!("{}", outcome.show(package, &reasons));
        if !outcome.is_enough(&reasons) {
            failed.push(package);
        }
    }
    ensure!(
        failed.is_empty(),
        "less than {LEAST} % of the mutants were caught, or a survivor has no reason in \
         {SURVIVORS}: {}",
        failed.join(", ")
    );
    Ok(())
}

fn packages(options: &Options) -> Vec<(&str, Option<usize>)> {
    if let Some(package) = &options.package {
        let usual = PACKAGES.iter().find(|(name, _)| name == package);
        let usual = usual.and_then(|(_, sample)| *sample);
        return vec![(package, options.sample.or(usual))];
    }
    let all = PACKAGES.iter();
    all.map(|(name, sample)| (*name, sample.map(|usual| options.sample.unwrap_or(usual))))
        .collect()
}

fn install_if_missing() -> Result<()> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let is_there = home.is_some_and(|home| home.join("bin/cargo-mutants").is_file());
    if is_there || find("cargo-mutants").is_some() {
        return Ok(());
    }
    say("installing cargo-mutants");
    run_command(&mut cargo([
        "install",
        "--quiet",
        "--locked",
        "cargo-mutants",
    ]))
}

/// The names of all mutants of a package, with file, line and column.
fn list(package: &str) -> Result<Vec<String>> {
    let mut command = cargo(["mutants", "--list", "--json", "--no-config"]);
    let text = output(command.args(["--package", package]))?;
    let all: Vec<Value> = serde_json::from_str(&text)?;
    let names = all.iter().map(|mutant| mutant["name"].as_str());
    names
        .map(|name| Ok(name.context("a mutant without a name")?.to_owned()))
        .collect()
}

/// Draws a sample. The same source and seed give the same sample.
fn draw(mut names: Vec<String>, sample: Option<usize>, seed: u64) -> Vec<String> {
    if let Some(sample) = sample {
        Rng::with_seed(seed).shuffle(&mut names);
        names.truncate(sample);
        names.sort();
    }
    names
}

fn try_all(package: &str, names: &[String]) -> Result<Outcome> {
    let work = std::path::absolute(Path::new(WORK).join(package))?;
    let copies = work.join("copies");
    fs::create_dir_all(&copies)?;
    // The names are written to a file, because they are too many for a command
    // line.
    let config = work.join("mutants.toml");
    fs::write(&config, wanted(names))?;
    let jobs = available_parallelism().map_or(1, NonZero::get);
    let mut command = cargo([
        "mutants",
        "--package",
        package,
        "--no-times",
        "--colors=never",
    ]);
    command.arg("--config").arg(&config);
    command.arg("--output").arg(&work);
    command.arg(format!("--jobs={jobs}"));
    // A test that a mutant keeps from ending is stopped, after at least 30
    // seconds.
    command.args(["--minimum-test-timeout", "30"]);
    command.env("TMPDIR", &copies);
    command.args(["--profile", "mutants"]);
    say(&format!("trying {} mutants of {package}", names.len()));
    let status = command.status()?;
    // Exit code 2: some mutants were missed; 3: some timed out.
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        bail!("`{}` failed: {status}", command_line(&command));
    }
    Outcome::read(&work.join("mutants.out"))
}

/// A configuration that selects mutants by their names.
fn wanted(names: &[String]) -> String {
    let names = names.iter().map(|name| {
        let exact = format!("^{}$", regex::escape(name));
        format!("{},\n", Value::from(exact))
    });
    format!("examine_re = [\n{}]\n", names.collect::<String>())
}

/// A regular expression of mutants that may survive, and the reason.
type Reason = (Regex, String);

fn read_reasons(text: &str) -> Result<Vec<Reason>> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (pattern, reason) = line
                .split_once(" | ")
                .with_context(|| format!("{SURVIVORS}: no reason in `{line}`"))?;
            Ok((Regex::new(pattern)?, reason.to_owned()))
        })
        .collect()
}

/// The outcome of all mutants.
#[derive(Debug, Default)]
struct Outcome {
    caught: usize,
    /// Mutants whose test never ended. They count as caught.
    timed_out: usize,
    /// Mutants that do not build.
    unviable: usize,
    survivors: Vec<String>,
}

impl Outcome {
    fn read(directory: &Path) -> Result<Self> {
        let names = |file: &str| -> Result<Vec<String>> {
            let path = directory.join(file);
            let text =
                fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
            Ok(text.lines().map(str::to_owned).collect())
        };
        Ok(Self {
            caught: names("caught.txt")?.len(),
            timed_out: names("timeout.txt")?.len(),
            unviable: names("unviable.txt")?.len(),
            survivors: names("missed.txt")?,
        })
    }

    fn percent(&self) -> f64 {
        let caught = self.caught + self.timed_out;
        let viable = caught + self.survivors.len();
        100.0 * caught as f64 / viable.max(1) as f64
    }

    fn is_enough(&self, reasons: &[Reason]) -> bool {
        let mut survivors = self.survivors.iter();
        self.percent() >= LEAST && survivors.all(|name| reason(reasons, name).is_some())
    }

    fn show(&self, package: &str, reasons: &[Reason]) -> String {
        let caught = self.caught + self.timed_out;
        let viable = caught + self.survivors.len();
        let percent = self.percent();
        let Self {
            timed_out,
            unviable,
            survivors,
            ..
        } = self;
        let mut text = format!(
            "{package}: {caught} of {viable} viable mutants caught ({percent:.1} %), \
             {timed_out} of them by a timeout; {} survive, {unviable} do not build\n",
            survivors.len()
        );
        for name in survivors {
            let reason = reason(reasons, name).unwrap_or("NO REASON");
            text += &format!("  {name}\n    {reason}\n");
        }
        text
    }
}

fn reason<'a>(reasons: &'a [Reason], name: &str) -> Option<&'a str> {
    let found = reasons.iter().find(|(pattern, _)| pattern.is_match(name));
    found.map(|(_, reason)| reason.as_str())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn a_sample_is_the_same_again_and_another_with_another_seed() {
        let all = || (0..500).map(|n| n.to_string()).collect::<Vec<_>>();
        let first = draw(all(), Some(50), 1);
        assert_eq!(first.len(), 50);
        assert_eq!(first, draw(all(), Some(50), 1));
        assert_ne!(first, draw(all(), Some(50), 2));
        assert_eq!(draw(all(), None, 1), all());
        assert_eq!(draw(all(), Some(900), 1).len(), 500);
    }

    #[test]
    fn a_mutant_is_selected_by_its_exact_name() {
        let name = "a.rs:1:2: replace f -> &[u8] with \"x\" + 1";
        let config = wanted(&[name.to_owned()]);
        let value: Vec<String> =
            serde_json::from_str(&config["examine_re = ".len()..].replace(",\n]", "]")).unwrap();
        let pattern = Regex::new(&value[0]).unwrap();
        assert!(pattern.is_match(name));
        assert!(!pattern.is_match("a.rs:1:2: replace f -> &u with \"x\" + 1"));
    }

    #[test]
    fn survivors_are_shown_with_their_reasons() {
        let reasons = read_reasons("# Why.\n\nreplace < with <= in f | Never equal.\n").unwrap();
        let outcome = |caught, survivors: &[&str]| Outcome {
            caught,
            timed_out: 1,
            unviable: 3,
            survivors: survivors.iter().map(|name| (*name).into()).collect(),
        };
        let known = "a.rs:1:2: replace < with <= in f";
        let few = outcome(18, &[known]);
        assert_eq!(
            few.show("core", &reasons),
            "core: 19 of 20 viable mutants caught (95.0 %), 1 of them by a timeout; \
             1 survive, 3 do not build\n  a.rs:1:2: replace < with <= in f\n    Never equal.\n"
        );
        assert!(few.is_enough(&reasons));
        assert!(!outcome(17, &[known]).is_enough(&reasons));
        assert!(!outcome(99, &["a.rs:9:9: replace g with ()"]).is_enough(&reasons));
        assert!(read_reasons("no reason").is_err());
    }
}
