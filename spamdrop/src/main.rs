//! The `spamdrop` command.

#![forbid(unsafe_code)]

use std::io::{self, BufWriter, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _};
use env_logger::Env;
use log::Level;
use spamdrop::cli::{Cli, Verb};
use spamdrop::commands::{completions, dispatch};
use spamdrop::kernel::packet_log;
use spamdrop::render::table::Style;
use spamdrop::{exit, lock};
use spamdrop_core::dnsbl::key::mask;

fn main() -> ExitCode {
    completions::answer();
    let matches = Cli::command().get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    lock::set_verb(verb(&matches));
    start_log(&cli.verb);
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
            // If standard error is closed, only the exit code remains.
            let prefix = match is_journal() {
                true => format!("<{}>", priority(Level::Error)),
                false => String::new(),
            };
            let _ = writeln!(io::stderr(), "{prefix}spamdrop: {error:#}");
            exit::code(&error)
        }
    }
}

/// The verb as typed, such as `import` or `known add`.
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
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if terminal && !refused {
        Style::Coloured
    } else {
        Style::Plain
    }
}

/// Configures the log. Messages go to standard error, from level `info` or that
/// of `RUST_LOG`; packets from the level of `--log-packets`. The daemon's
/// messages carry the time; if standard error is the journal, which has its own
/// time, they carry their priority instead.
fn start_log(verb: &Verb) {
    let daemon = match verb {
        Verb::Run(args) => Some(args),
        _ => None,
    };
    let is_journal = is_journal();
    let timed = daemon.is_some() && !is_journal;
    let env = Env::default().default_filter_or("info");
    let mut builder = env_logger::Builder::from_env(env);
    if let Some(level) = daemon.and_then(|args| args.log_packets) {
        builder.filter_module(packet_log::TARGET, level.into());
    }
    builder.format(move |out, record| {
        if is_journal {
            write!(out, "<{}>", priority(record.level()))?;
        }
        if timed {
            write!(out, "{} ", out.timestamp_seconds())?;
        }
        write!(out, "spamdrop: ")?;
        if record.level() == Level::Warn {
            write!(out, "warning: ")?;
        }
        if log::log_enabled!(Level::Debug) {
            write!(out, "[{}] ", record.target())?;
        }
        // The name of a zone may hold the customer's key.
        writeln!(out, "{}", mask(&record.args().to_string()))
    });
    builder.init();
}

/// Whether standard error is the journal: systemd sets `JOURNAL_STREAM` to its
/// device and inode (systemd.exec(5)). A process that inherits the variable may
/// have another standard error.
fn is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    rustix::fs::fstat(io::stderr())
        .is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
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
