//! The `spamdrop` command.

#![forbid(unsafe_code)]

use std::env;
use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};
use env_logger::Env;
use log::{Level, LevelFilter, Record};
use spamdrop::cli::{Cli, Verb, with_json_behind};
use spamdrop::commands::{completions, dispatch};
use spamdrop::journal::{JournalMessage, JournalWriter};
use spamdrop::kernel::packet_log;
use spamdrop::render::table::Style;
use spamdrop::{exit, journal, lock};
use spamdrop_core::dnsbl::key::mask;
use spamdrop_core::notice::Notice;

fn main() -> ExitCode {
    completions::answer();
    let matches = Cli::command().get_matches_from(with_json_behind(env::args_os()));
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    lock::set_verb(verb(&matches));
    start_log(&cli);
    let stdout = io::stdout().lock();
    let style = style(stdout.is_terminal());
    let mut out = BufWriter::with_capacity(1 << 16, stdout);
    let done = dispatch(&cli, &mut out, style);
    // Flush after an error, too: output that precedes it is a result.
    let flushed = out.flush().map_err(anyhow::Error::from);
    match done.and(flushed) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) if exit::is_silent(&error) => exit::code(&error),
        Err(error) => {
            write_error(&error);
            exit::code(&error)
        }
    }
}

/// Writes the error that ends the program. If standard error is the journal, the
/// write never waits, and the advice to run as root is left out, because the unit
/// chooses the account.
fn write_error(error: &anyhow::Error) {
    if journal::is_stderr() {
        return JournalWriter::new(io::stderr()).write(JournalMessage {
            priority: priority(Level::Error),
            notice: None,
            text: &format!("{error:#}"),
        });
    }
    let step = exit::next_step(error);
    // If standard error is closed, only the exit code remains.
    let _ = writeln!(io::stderr(), "spamdrop: {error:#}{step}");
}

/// The name of the verb, such as `import` or `known add`.
fn verb(matches: &ArgMatches) -> String {
    let mut words = Vec::new();
    let mut level = matches;
    while let Some((word, below)) = level.subcommand() {
        words.push(word);
        level = below;
    }
    words.join(" ")
}

/// Whether the reader of the output has closed its end, as in `spamdrop list |
/// head`.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Chooses colours for a terminal, unless `NO_COLOR` is set
/// (<https://no-color.org>).
fn style(terminal: bool) -> Style {
    let refused = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if terminal && !refused {
        Style::Coloured
    } else {
        Style::Plain
    }
}

/// Configures the log. Messages of level `info` and above go to standard error.
/// `RUST_LOG` sets another level; `--verbose` and `--quiet` override it.
/// `--log-packets` sets the level of the packet log. The daemon's messages carry the
/// time; if standard error is the journal, which records the time itself, they carry
/// their priority instead.
fn start_log(cli: &Cli) {
    let daemon = match &cli.verb {
        Verb::Run(args) => Some(args),
        _ => None,
    };
    let mut builder = env_logger::Builder::new();
    if cli.verbose {
        builder.parse_filters("info,spamdrop=debug");
    } else if cli.quiet {
        builder.filter_level(LevelFilter::Error);
    } else {
        builder.parse_env(Env::default().default_filter_or("info"));
    }
    if let Some(level) = daemon.and_then(|args| args.log_packets) {
        builder.filter_module(packet_log::TARGET, level.into());
    }
    let journal = journal::is_stderr().then(|| JournalWriter::new(io::stderr()));
    let timed = daemon.is_some();
    builder.format(move |out, record| {
        let text = describe_record(record);
        if let Some(journal) = &journal {
            journal.write(JournalMessage {
                priority: priority(record.level()),
                notice: Notice::of_target(record.target()),
                text: &text,
            });
            return Ok(());
        }
        if timed {
            write!(out, "{} ", out.timestamp_seconds())?;
        }
        writeln!(out, "spamdrop: {text}")
    });
    builder.init();
}

fn describe_record(record: &Record<'_>) -> String {
    let warning = match record.level() {
        Level::Warn => "warning: ",
        _ => "",
    };
    let target = match log::log_enabled!(Level::Debug) {
        true => format!("[{}] ", record.target()),
        false => String::new(),
    };
    // The name of a zone may hold the customer's key.
    let args = record.args().to_string();
    format!("{warning}{target}{}", mask(&args))
}

/// The priority of syslog(3), which journald takes from a prefix
/// (sd-daemon(3)).
fn priority(level: Level) -> u8 {
    match level {
        Level::Error => 3,
        Level::Warn => 4,
        Level::Info => 6,
        Level::Debug | Level::Trace => 7,
    }
}
