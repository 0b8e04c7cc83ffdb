//! One module per verb. Results go to the writer that is passed in, messages to
//! the log.

pub mod add;
pub mod addresses;
pub mod allow;
pub mod attach;
mod block;
pub mod completions;
pub mod config_check;
pub mod detach;
pub mod export;
pub mod flush;
pub mod forget;
mod hand;
pub mod history;
pub mod import;
mod input;
pub mod known;
pub mod learn;
pub mod list;
pub mod lookup;
mod merged;
mod meter;
mod owners;
pub mod pause;
mod period;
mod reading;
pub mod reload;
pub mod remove;
pub mod replay;
pub mod report;
pub mod resume;
pub mod run;
mod saved;
pub mod scan;
mod search;
pub mod settings;
pub mod setup;
pub mod show;
pub mod stats;
pub mod status;
mod terminal;
pub mod top;
mod watch;
pub mod why;

use std::io::Write;
use std::path::Path;

use anyhow::Result;
use rustix::process::{Pid, Signal, kill_process};

use crate::account;
use crate::cli::{Allow, Cli, ConfigVerb, KnownVerb, StatusOptions, Verb};
use crate::clock;
use crate::config::Config;
use crate::kernel::attach::ensure_own_pins;
use crate::lock;
use crate::render::noun::count;
use crate::render::table::Style;
use spamdrop_core::nat64;

/// Notes the settings on which reading addresses and the daemon's directories depends.
///
/// # Errors
///
/// The account of `user` does not exist.
fn adopt(config: &Config) -> Result<()> {
    nat64::configure(&config.nat64);
    account::configure(&config.user)
}

/// Runs the verb of the command line.
///
/// # Errors
///
/// The verb fails; [`crate::exit::code`] gives the exit code.
pub fn dispatch(cli: &Cli, out: &mut impl Write, style: Style) -> Result<()> {
    if let Verb::Completions(args) = &cli.verb {
        return completions::run(*args, out);
    }
    if matches!(cli.verb, Verb::Version) {
        return Ok(writeln!(out, "spamdrop {}", env!("CARGO_PKG_VERSION"))?);
    }
    let path = cli.config.as_deref();
    let config = match &cli.verb {
        // `setup` may create the configuration file.
        Verb::Setup(_) if path.is_some_and(|path| !path.exists()) => Ok(Config::default()),
        _ => Config::read(path),
    };
    if let Verb::Status(StatusOptions { check: true, .. }) = cli.verb {
        let adopted = config.and_then(|config| adopt(&config).map(|()| config));
        return status::check(adopted, out);
    }
    let config = config?;
    if matches!(
        cli.verb,
        Verb::Run(_)
            | Verb::Attach(_)
            | Verb::Add(_)
            | Verb::Import(_)
            | Verb::Pause(_)
            | Verb::Reload(_)
    ) {
        clock::ensure_kernels_clock()?;
    }
    adopt(&config)?;
    if changes_the_filter(&cli.verb) {
        ensure_own_pins(&config.pin_dir)?;
    }
    match &cli.verb {
        Verb::Run(args) => run::run(path, args, out, style),
        Verb::Attach(args) => attach::run(config, args, out),
        Verb::Detach(args) => detach::run(&config, path, args, out),
        Verb::Add(args) => add::run(&config, args, out),
        Verb::Remove(args) => remove::run(&config, args, out),
        Verb::Flush(args) => flush::run(&config, args, out),
        Verb::List(args) => list::run(&config, args, out, style),
        Verb::Import(args) => import::run(&config, args, out),
        Verb::Export(args) => export::run(&config, *args, out),
        Verb::Show(args) => show::run(&config, args, out),
        Verb::Why(args) => why::run(&config, args, out, style),
        Verb::History(args) => history::run(&config, args, out, style),
        Verb::Forget(args) => forget::run(&config, args, out),
        Verb::Allow(Allow::Add(args)) => allow::add(&config, args, out),
        Verb::Allow(Allow::Remove(args)) => allow::remove(&config, args, out),
        Verb::Allow(Allow::Check(args)) => allow::check(&config, args, out),
        Verb::Allow(Allow::List(args)) => allow::list(&config, *args, out, style),
        Verb::Known(KnownVerb::List(args)) => known::list(&config, *args, out, style),
        Verb::Known(KnownVerb::Add(args)) => known::add(&config, args, out),
        Verb::Known(KnownVerb::Remove(args)) => known::remove(&config, args, out),
        Verb::Known(KnownVerb::Import(args)) => known::import(&config, args, out),
        Verb::Learn(args) => learn::run(&config, args, out),
        Verb::Pause(args) => pause::run(&config, args, out),
        Verb::Resume => resume::run(&config, out),
        Verb::Reload(args) => reload::run(&config, path, *args, out),
        Verb::Status(StatusOptions { watch: true, .. }) => watch::run(&config, out),
        Verb::Status(args) => status::run(&config, *args, out),
        Verb::Top(args) => top::run(&config, path, *args, out, style),
        Verb::Report(args) => report::run(&config, args, out, style),
        Verb::Stats(args) => stats::run(&config, *args, out, style),
        Verb::Replay(args) => replay::run(&config, path, args, out, style),
        Verb::Scan(args) => scan::run(&config, args, out, style),
        Verb::Lookup(args) => lookup::run(&config, args, out),
        Verb::Setup(args) => setup::run(&config, path, *args, out),
        Verb::Settings(args) => settings::run(&config, *args, out),
        Verb::Config(ConfigVerb::Check(args)) => {
            config_check::run(&config, cli.config.as_deref(), args, out)
        }
        Verb::Completions(_) | Verb::Version => Ok(()),
    }
}

/// Whether the verb changes the maps of an attached filter. Such a verb is refused
/// if the filter is in another network namespace, which has its own mail server.
fn changes_the_filter(verb: &Verb) -> bool {
    match verb {
        Verb::Add(_) | Verb::Remove(_) | Verb::Flush(_) | Verb::Import(_) => true,
        Verb::Pause(_) | Verb::Resume | Verb::Forget(_) => true,
        Verb::Allow(verb) => !matches!(verb, Allow::List(_) | Allow::Check(_)),
        Verb::Known(verb) => !matches!(verb, KnownVerb::List(_)),
        _ => false,
    }
}

/// Sends SIGUSR1 to the daemon, if one runs, so that it rereads the allowlist,
/// the known senders and the pending releases.
fn notify_daemon(run_dir: &Path) {
    let pid = lock::daemon_pid(run_dir).and_then(|pid| Pid::from_raw(pid.cast_signed()));
    if let Some(pid) = pid
        && let Err(error) = kill_process(pid, Signal::USR1)
    {
        log::warn!("cannot notify the daemon: {error}; restart `spamdrop run`");
    }
}
