//! `run`: applies the flags to the configuration, then runs the daemon, or only
//! says what it would do.

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use jiff::tz::TimeZone;

use crate::cli;
use crate::config::Config;
use crate::daemon::{self, RunOptions};
use crate::exit::{Exit, Failure};
use crate::render::prediction::{self, Predicted, Shown};
use crate::render::prediction_json;
use crate::render::table::Style;
use spamdrop_core::release::ReleaseMode;

/// Runs the verb.
///
/// # Errors
///
/// A flag makes the configuration invalid ([`Exit::Usage`]), or the daemon
/// fails.
pub fn run(
    path: Option<&Path>,
    args: &cli::RunFlags,
    out: &mut impl Write,
    style: Style,
) -> Result<()> {
    if args.dry_run {
        return dry_run(&read(path, args)?, args.json, out, style);
    }
    let log_level = args.log_packets.map_or(0, |level| level as u8);
    if log_level != 0 && !cfg!(feature = "packet-log") {
        let message = "this spamdrop was built without `--log-packets` (feature packet-log)";
        return Err(Failure::new(Exit::Usage, message));
    }
    let (path, args) = (path.map(Path::to_owned), args.clone());
    daemon::run(RunOptions {
        log_level,
        path: path.clone(),
        reread: Box::new(move || read(path.as_deref(), &args)),
    })
}

/// Follows the logs, and then shows what would have been done.
fn dry_run(config: &Config, is_json: bool, out: &mut impl Write, style: Style) -> Result<()> {
    let found = daemon::dry_run(config)?;
    let predicted = Predicted {
        files: vec![found.sources],
        lines: found.lines,
        overlong: found.overlong,
        predictions: vec![found.prediction],
        gate: found.gate,
        ..Predicted::default()
    };
    if is_json {
        return Ok(prediction_json::json(out, &predicted)?);
    }
    let shown = Shown {
        all: false,
        is_live: true,
        style,
        zone: TimeZone::system(),
    };
    prediction::write_text(out, &predicted, &shown)?;
    Ok(prediction::recommend(out, &predicted)?)
}

fn read(path: Option<&Path>, args: &cli::RunFlags) -> Result<Config> {
    let mut config = Config::read(path)?;
    override_with(&mut config, args);
    config
        .check()
        .map_err(|error| Failure::new(Exit::Usage, format!("{error:#}")))?;
    Ok(config)
}

fn override_with(config: &mut Config, args: &cli::RunFlags) {
    replace(&mut config.interfaces, &args.interfaces);
    if args.journal || !args.logs.is_empty() {
        config.journal = args.journal;
        config.logs.clone_from(&args.logs);
    }
    replace(&mut config.ports, &args.ports);
    config.mode = args.mode.map_or(config.mode, Into::into);
    config.ttl = args.ttl.unwrap_or(config.ttl);
    config.grace = args.grace.unwrap_or(config.grace);
    config.release = args.release.map_or(config.release, Into::into);
}

fn replace<T: Clone>(configured: &mut Vec<T>, given: &[T]) {
    if !given.is_empty() {
        *configured = given.to_vec();
    }
}

impl From<cli::Release> for ReleaseMode {
    fn from(release: cli::Release) -> Self {
        match release {
            cli::Release::Destroy => Self::Destroy,
            cli::Release::Terminate => Self::Terminate,
            cli::Release::Off => Self::Off,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use std::time::Duration;

    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Verb};
    use crate::kernel::attach::AttachMode;

    fn overridden(flags: &str) -> Config {
        let words = ["spamdrop", "run"].into_iter().chain(flags.split(' '));
        let cli = Cli::try_parse_from(words.filter(|word| !word.is_empty())).unwrap();
        let Verb::Run(args) = cli.verb else { panic!() };
        let mut config = Config {
            interfaces: vec!["eth0".into()],
            ..Config::default()
        };
        override_with(&mut config, &args);
        config
    }

    #[test]
    fn flags_override_the_configuration() {
        let flags = "-i a --interface b -l x.log --log - --port 25 --port 587 --mode generic \
                     --ttl 90s --grace 0s --release terminate";
        let expected = Config {
            interfaces: vec!["a".into(), "b".into()],
            logs: vec!["x.log".into(), "-".into()],
            ports: vec![25, 587],
            mode: AttachMode::Generic,
            ttl: Duration::from_secs(90),
            grace: Duration::ZERO,
            release: ReleaseMode::Terminate,
            ..Config::default()
        };
        assert_eq!(overridden(flags), expected);
    }

    #[test]
    fn sources_of_flags_replace_those_of_the_configuration() {
        let journal = overridden("--journal");
        assert!(journal.journal && journal.logs.is_empty());
        let both = overridden("--journal --log x.log");
        assert!(both.journal && both.logs == [Path::new("x.log")]);
        let mut config = Config {
            journal: true,
            ..Config::default()
        };
        let args = cli::RunFlags {
            logs: vec!["-".into()],
            ..cli::RunFlags::default()
        };
        override_with(&mut config, &args);
        assert!(!config.journal && config.logs == [Path::new("-")]);
    }

    #[test]
    fn without_flags_the_configuration_holds() {
        let expected = Config {
            interfaces: vec!["eth0".into()],
            ..Config::default()
        };
        assert_eq!(overridden(""), expected);
    }
}
