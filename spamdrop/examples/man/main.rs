//! Writes the man pages spamdrop(8) and spamdrop.toml(5) into a directory:
//! `cargo xtask man`.

mod keys;
mod verbs;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use spamdrop::cli::Cli;

/// The template of spamdrop(8). It has placeholders for the version, and for the flags
/// and commands, which clap describes.
const COMMAND: &str = include_str!("../../docs/man/spamdrop.8");
/// The template of spamdrop.toml(5), with placeholders for the version and the keys.
const SETTINGS: &str = include_str!("../../docs/man/spamdrop.toml.5");
/// The commented configuration.
const CONFIGURATION: &str = include_str!("../../spamdrop.toml");

fn main() -> Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    let directory = arguments.next().map(PathBuf::from);
    let directory = directory.context("give the directory to write to")?;
    fs::create_dir_all(&directory)?;
    for (name, page) in [
        ("spamdrop.8", command_page()?),
        ("spamdrop.toml.5", settings_page()?),
    ] {
        let path = directory.join(name);
        fs::write(&path, page).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn command_page() -> Result<String> {
    use clap::CommandFactory as _;
    let command = verbs::prepare(Cli::command());
    let page = fill(COMMAND, "@OPTIONS@", &verbs::options(&command)?)?;
    let page = fill(&page, "@COMMANDS@", &verbs::sections(&command)?)?;
    fill(&page, "@VERSION@", env!("CARGO_PKG_VERSION"))
}

fn settings_page() -> Result<String> {
    let page = fill(SETTINGS, "@KEYS@", &keys::sections(CONFIGURATION)?)?;
    fill(&page, "@VERSION@", env!("CARGO_PKG_VERSION"))
}

fn fill(page: &str, place: &str, text: &str) -> Result<String> {
    ensure!(page.contains(place), "the page has no place for {place}");
    Ok(page.replace(place, text.trim_end()))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use std::path::Path;

    use clap::CommandFactory as _;
    use spamdrop::config;

    use super::*;

    #[test]
    fn every_verb_and_flag_has_its_place() {
        let page = command_page().unwrap();
        let mut names = Vec::new();
        collect(&Cli::command(), "", &mut names);
        assert!(
            names.contains(&"\\fBspamdrop allow add".into()),
            "{names:?}"
        );
        assert!(
            names.contains(&"\\fB\\-\\-log\\-packets".into()),
            "{names:?}"
        );
        for name in names {
            assert!(page.contains(&name), "{name} is missing in:\n{page}");
        }
    }

    /// The names of the commands without subcommands, and of all flags, as the page
    /// writes them.
    fn collect(command: &clap::Command, above: &str, names: &mut Vec<String>) {
        let name = format!("{above}{}", command.get_name());
        if !command.has_subcommands() {
            names.push(format!("\\fB{}", name.replace('-', "\\-")));
        }
        let flags = command.get_arguments().filter_map(clap::Arg::get_long);
        names.extend(flags.map(|flag| format!("\\fB\\-\\-{}", flag.replace('-', "\\-"))));
        for verb in command.get_subcommands() {
            collect(verb, &format!("{name} "), names);
        }
    }

    #[test]
    fn every_key_of_the_configuration_has_its_place() {
        let page = settings_page().unwrap();
        let keys = config::keys();
        assert!(keys.contains(&"hard_limit".to_owned()), "{keys:?}");
        for key in keys {
            assert!(page.contains(&format!("\\fB{key} = ")), "{key}");
        }
    }

    #[test]
    fn a_page_without_its_place_is_an_error() {
        assert!(fill(".SH KEYS\n", "@KEYS@", "").is_err());
        assert!(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("docs/man")
                .is_dir()
        );
    }
}
