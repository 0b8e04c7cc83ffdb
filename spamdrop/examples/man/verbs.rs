//! The command line, as clap describes it, in man's macros.

use anyhow::{Context as _, Result};
use clap::Command;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

/// Removes `--help` and `help`, which every command has, and builds the command: only
/// then does clap settle which values an argument takes.
pub fn prepare(command: Command) -> Command {
    let mut command = without_help(command);
    command.build();
    command
}

fn without_help(command: Command) -> Command {
    command
        .disable_help_flag(true)
        .disable_help_subcommand(true)
        .mut_subcommands(without_help)
}

/// The flags that every command accepts.
pub fn options(command: &Command) -> Result<String> {
    body(|page| Man::new(command.clone()).render_options_section(page))
}

/// A section for each command, in the order of `--help`.
pub fn sections(command: &Command) -> Result<String> {
    let mut text = String::new();
    for verb in command.get_subcommands() {
        if verb.has_subcommands() {
            text += &sections(verb)?;
        } else {
            text += &section(verb)?;
        }
    }
    Ok(text)
}

fn section(verb: &Command) -> Result<String> {
    let globals = verb.get_arguments().filter(|flag| flag.is_global_set());
    let hidden: Vec<_> = globals.map(|flag| flag.get_id().clone()).collect();
    let verb = hidden.into_iter().fold(verb.clone(), |verb, flag| {
        verb.mut_arg(flag, |flag| flag.hide(true))
    });
    let man = Man::new(verb.clone());
    let about = body(|page| man.render_description_section(page))?;
    let options = body(|page| man.render_options_section(page))?;
    Ok(format!("{}{about}{options}", heading(&verb)))
}

/// The name, and what may follow it: `spamdrop scan [--all] [--json] FILE...`
fn heading(verb: &Command) -> String {
    let name = verb.get_bin_name().unwrap_or_else(|| verb.get_name());
    let mut line = vec![bold(name)];
    let shown = || {
        verb.get_arguments()
            .filter(|argument| !argument.is_hide_set())
    };
    for flag in shown().filter(|argument| !argument.is_positional()) {
        let Some(long) = flag.get_long() else {
            continue;
        };
        line.extend([roman(" ["), bold(format!("--{long}"))]);
        if flag.get_action().takes_values() {
            line.extend([roman(" "), italic(value_name(flag))]);
        }
        line.push(roman("]"));
    }
    for positional in shown().filter(|argument| argument.is_positional()) {
        let many = positional
            .get_num_args()
            .is_some_and(|number| number.max_values() > 1);
        let dots = if many { "..." } else { "" };
        let value = italic(value_name(positional));
        if positional.is_required_set() {
            line.extend([roman(" "), value, roman(dots)]);
        } else {
            line.extend([roman(" ["), value, roman(format!("{dots}]"))]);
        }
    }
    let mut roff = Roff::new();
    roff.control("SS", [name]);
    roff.text(line);
    roff.control("PP", []);
    roff.to_roff()
}

fn value_name(argument: &clap::Arg) -> String {
    match argument.get_value_names() {
        Some([name, ..]) => name.to_string(),
        _ => argument.get_id().as_str().to_uppercase(),
    }
}

/// A section without its heading.
fn body(render: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) -> Result<String> {
    let mut page = Vec::new();
    render(&mut page)?;
    let page = String::from_utf8(page).context("clap_mangen wrote no UTF-8")?;
    // Skip the preamble and the heading of the rendered section: the page has its own.
    let lines = page.lines().skip_while(|line| !line.starts_with(".SH"));
    Ok(lines
        .skip(1)
        .fold(String::new(), |text, line| text + line + "\n"))
}
