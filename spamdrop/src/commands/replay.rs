//! `replay`: passes old logs through the whole engine, with their own clock.

use std::io::{self, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::{Error, Result};
use jiff::tz::TimeZone;

use super::input::{Input, check, last_of};
use super::merged::{Log, each_line};
use super::reading::{self, Recognized};
use crate::cli;
use crate::clock;
use crate::config::Config;
use crate::dry_run;
use crate::render::prediction::{self, Predicted, Shown};
use crate::render::prediction_json;
use crate::render::{table::Style, trust};
use spamdrop_core::engine::{DryRun, EngineSettings, LogClock};
use spamdrop_core::log::{Parser, ParserSettings};

/// Runs the verb. A file that cannot be read to its end is replayed up to the
/// error. The other files are replayed as well, also if one cannot be opened.
///
/// # Errors
///
/// A file cannot be opened or read to its end. The message names it.
pub fn run(
    config: &Config,
    path: Option<&Path>,
    args: &cli::ReplayOptions,
    out: &mut impl Write,
    style: Style,
) -> Result<()> {
    check(&args.files)?;
    let settings = reading::settings(config, &args.reading)?;
    let bar = io::stdout().is_terminal() && !args.output.json;
    let (mut logs, mut errors) = open(&args.files, &settings, bar);
    let recognizes = args.reading.servers.is_empty();
    let mut runs = vec![ReplayRun::new(config, settings, &logs, recognizes)?];
    if recognizes {
        logs.iter().for_each(|log| log.recognized().warn(&log.name));
    }
    if !args.changes.is_empty() {
        let changed = Config::read_changed(path, &args.changes)?;
        let names_servers = args.changes.iter().any(|change| change.key == "servers");
        let mut flags = args.reading.clone();
        if names_servers {
            flags.servers.clear();
        }
        let settings = reading::settings(&changed, &flags)?;
        let recognizes = recognizes && !names_servers;
        runs.push(ReplayRun::new(&changed, settings, &logs, recognizes)?);
    }
    let mut predicted = Predicted {
        files: logs.iter().map(|log| log.name.clone()).collect(),
        changes: args.changes.iter().map(|it| it.given.clone()).collect(),
        ..Predicted::default()
    };
    replay(&mut logs, &mut runs, &mut predicted);
    for Log { name, error, .. } in logs {
        if let Some(error) = error {
            errors.push(Error::new(error).context(format!("cannot read {name} to its end")));
        }
    }
    if args.output.json {
        prediction_json::json(out, &predicted)?;
    } else {
        let shown = Shown {
            all: args.all,
            is_live: false,
            style,
            zone: TimeZone::system(),
        };
        prediction::write_text(out, &predicted, &shown)?;
        if args.files.iter().any(|path| path.as_os_str() != "-") {
            trust::note(out)?;
        }
        prediction::recommend(out, &predicted)?;
    }
    last_of(errors)
}

/// Opens the logs. Returns them, and the errors of those that cannot be opened.
fn open(paths: &[PathBuf], settings: &EngineSettings, bar: bool) -> (Vec<Log>, Vec<Error>) {
    let (mut logs, mut errors) = (Vec::new(), Vec::new());
    for path in paths {
        match Input::open(path) {
            Ok(input) => {
                let name = input.name.clone();
                let text = Recognized::new(input.into_reader(bar), &settings.parser);
                logs.push(Log::new(name, text));
            }
            Err(error) => errors.push(error),
        }
    }
    (logs, errors)
}

/// The replay of the logs with one configuration.
struct ReplayRun {
    dry_run: DryRun,
    clock: LogClock,
    parser: ParserSettings,
}

impl ReplayRun {
    /// `recognizes`: whether servers that are not configured are recognized.
    fn new(
        config: &Config,
        mut settings: EngineSettings,
        logs: &[Log],
        recognizes: bool,
    ) -> Result<Self> {
        for log in logs.iter().filter(|_| recognizes) {
            settings = log.recognized().settings(&settings);
        }
        Ok(Self {
            parser: settings.parser.clone(),
            dry_run: dry_run::begin(config, settings)?,
            clock: LogClock::new(clock::wall()),
        })
    }
}

/// Passes the lines to each run.
fn replay(logs: &mut [Log], runs: &mut [ReplayRun], predicted: &mut Predicted) {
    let Some(first) = runs.first() else { return };
    let needles = runs.iter().skip(1);
    let needles = needles.fold(first.dry_run.needles(), |needles, run| {
        needles.or(&run.dry_run.needles())
    });
    // Logs are told apart by their numbers, because a file may be given twice.
    let paths: Vec<PathBuf> = (0..logs.len()).map(|log| log.to_string().into()).collect();
    let (parser, present) = (Parser::new(first.parser.clone()), clock::wall());
    let clock = LogClock::new(present);
    // A stamp far in the future would hold back the rest of its log, so leave it out.
    let time = |line: &[u8]| {
        let stamp = parser.time(line, present);
        stamp.filter(|stamp| clock.believes(*stamp))
    };
    let counts = each_line(logs, &needles, &time, &mut |log, line| {
        for run in runs.iter_mut() {
            run.dry_run.replay_line(line, &paths[log], &mut run.clock);
        }
    });
    (predicted.lines, predicted.overlong) = (counts.lines, counts.overlong);
    predicted.predictions = runs.iter().map(|run| run.dry_run.prediction()).collect();
}
