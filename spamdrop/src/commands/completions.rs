//! `completions`: shell completions. A shell's script calls the program, which
//! knows the interfaces and what is blocked.

use std::env;
use std::ffi::OsStr;
use std::io::Write;

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};

use super::list;
use crate::allowlist;
use crate::cli::{Cli, Completions, without_config};
use crate::clock;
use crate::config::Config;
use crate::kernel::network;
use crate::render::allowed::shown;

const NAME: &str = "spamdrop";
/// The environment variable by which the shell's script asks for completions.
const VARIABLE: &str = "SPAMDROP_COMPLETE";
/// Maximum number of proposals, because nobody reads more.
const MOST: usize = 1000;

/// Returns the possible values of an argument.
type Values = fn() -> Result<Vec<String>>;

/// Arguments whose values can be listed: the command, the argument's name in `cli`, and
/// the function that lists the values.
const COMPLETED: [(&str, &str, Values); 9] = [
    ("attach", "interfaces", interfaces),
    ("detach", "interfaces", interfaces),
    ("run", "interfaces", interfaces),
    ("remove", "addrs", blocked),
    ("list", "addrs", blocked),
    ("show", "addrs", blocked),
    ("why", "addrs", blocked),
    ("history", "addr", blocked),
    ("forget", "addrs", blocked),
];

/// Runs the verb.
///
/// # Errors
///
/// The writer fails.
pub fn run(args: Completions, out: &mut impl Write) -> Result<()> {
    let shells = Shells::builtins();
    let shell = args.shell.to_string();
    let shell = shells.completer(&shell).context("an unknown shell")?;
    let mut script = Vec::new();
    shell.write_registration(VARIABLE, NAME, NAME, NAME, &mut script)?;
    Ok(out.write_all(&script)?)
}

/// If a completion script started the program, prints the proposals and exits.
/// Otherwise returns.
pub fn answer() {
    let env = CompleteEnv::with_factory(command).var(VARIABLE);
    env.bin(NAME).completer(NAME).complete();
}

fn command() -> Command {
    let command = Cli::command().mut_subcommand("allow", |allow| {
        allow
            .mut_subcommand("remove", |verb| completed(verb, "addrs", allowed))
            .mut_subcommand("check", |verb| completed(verb, "addr", allowed))
    });
    COMPLETED
        .iter()
        .fold(command, |command, (verb, arg, values)| {
            command.mut_subcommand(verb, |verb| completed(verb, arg, *values))
        })
}

fn completed(verb: Command, arg: &'static str, values: Values) -> Command {
    verb.mut_arg(arg, |arg| {
        arg.add(ArgValueCompleter::new(move |typed: &OsStr| {
            proposals(values, typed)
        }))
    })
}

/// The values that begin with `typed`; an empty list if the values cannot be read, for
/// example without the right to read the maps.
fn proposals(values: Values, typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else {
        return Vec::new();
    };
    let values = values().unwrap_or_default().into_iter();
    let fitting = values.filter(|value| value.starts_with(typed));
    fitting.take(MOST).map(CompletionCandidate::new).collect()
}

fn interfaces() -> Result<Vec<String>> {
    let all = network::interfaces()?.into_iter();
    Ok(all.map(|interface| interface.name).collect())
}

fn blocked() -> Result<Vec<String>> {
    let live = list::live(&config()?, clock::monotonic_ns())?;
    Ok(live
        .into_iter()
        .map(|entry| entry.target.to_string())
        .collect())
}

fn allowed() -> Result<Vec<String>> {
    let list = allowlist::read(&config()?.allow_file)?;
    Ok(list.nets().iter().map(|net| shown(*net)).collect())
}

/// The configuration that the words of the command line name, or the default one.
fn config() -> Result<Config> {
    let (_, path) = without_config(env::args_os());
    Config::read(path.as_deref())
}
