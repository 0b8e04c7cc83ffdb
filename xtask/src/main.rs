//! Sets up, builds and tests spamdrop: `cargo xtask VERB`.
//!
//! Every verb first installs the tools that it needs and does not find, with a
//! message for each. If no tool is missing, there is no message.

#![expect(
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a command-line tool"
)]

mod bench;
mod command;
mod compiler;
mod debian;
mod demo;
mod dependencies;
mod dist;
mod ebpf;
mod fuzz;
mod house;
mod lines;
mod linker;
mod lint;
mod man;
mod modules;
mod mutants;
mod origins;
mod pictures;
mod setup;
mod source;
mod tally;
mod test;
mod unit;
mod vm;
mod words;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};

/// Sets up, builds and tests spamdrop.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what building needs: parts of the Rust toolchain, bpf-linker
    Setup {
        /// Also install what the tests need (on Debian, as root or by sudo)
        #[arg(long)]
        tests: bool,
    },
    /// Show spamdrop at work, in half a minute and as root
    ///
    /// A mail server, the daemon and its peers run in network namespaces that
    /// vanish with this program, however it ends.
    Demo(demo::Options),
    /// Measure spamdrop beside its alternatives, as root
    ///
    /// The full run writes BENCHMARKS.md. Packets are sent only in network
    /// namespaces that vanish with this program, however it ends.
    Bench(bench::Options),
    /// Build the packet filter, for bpftool or llvm-objdump to read
    BuildEbpf {
        /// Leave aya-log out, so that libbpf-based loaders accept the object
        #[arg(long)]
        without_log: bool,
    },
    /// Run the fuzz targets, and print the number of inputs tried
    ///
    /// A finding is printed with its input and a command that reproduces it.
    Fuzz(fuzz::Options),
    /// Build the Debian package and check it with lintian, or build a static tarball
    Dist(dist::Options),
    /// Count the crates that the product depends on directly
    Dependencies,
    /// Count the product's lines of code, without comments and tests
    Lines(lines::Options),
    /// Show the layers of the product's modules
    ///
    /// Fails if a module names a module of a higher layer, if two modules name
    /// each other, if two types have the same name, if a module other than
    /// `kernel` uses the kernel's interfaces, or if spamdrop-core has a dependency
    /// that is not permitted.
    Modules,
    /// Make small changes to the code, and check that tests detect them
    ///
    /// Only tests that need no root are run. Takes an hour.
    Mutants(mutants::Options),
    /// Look for type names that the product defines more than once
    Types,
    /// Look for retired names and sentences
    Words,
    /// Write the man pages spamdrop(8) and spamdrop.toml(5) to target/man
    Man,
    /// Write the pictures of the guide, from made-up waves
    Pictures(pictures::Options),
    /// Run every check and test; the last line counts them
    Test(test::Options),
}

fn main() -> ExitCode {
    if let Some(error) = compiler::become_compiler() {
        say(&format!("cannot start the compiler: {error}"));
        return ExitCode::FAILURE;
    }
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            say(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<ExitCode> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    std::env::set_current_dir(&root).with_context(|| format!("cannot enter {}", root.display()))?;
    match &cli.verb {
        Verb::Setup { tests: false } => setup::building()?,
        Verb::Setup { tests: true } => setup::everything()?,
        Verb::Demo(options) => match demo::run(options)? {},
        Verb::Bench(options) => bench::run(options)?,
        Verb::BuildEbpf { without_log } => ebpf::build(*without_log)?,
        Verb::Fuzz(options) => fuzz::run(options)?,
        Verb::Dist(options) => dist::run(options)?,
        Verb::Dependencies => dependencies::run()?,
        Verb::Lines(options) => lines::run(options)?,
        Verb::Modules => {
            modules::show()?;
            lint::structure()?;
        }
        Verb::Mutants(options) => mutants::run(options)?,
        Verb::Types => modules::types()?,
        Verb::Words => words::run()?,
        Verb::Man => man::write()?,
        Verb::Pictures(options) => pictures::run(options)?,
        Verb::Test(options) => return test::run(options),
    }
    Ok(ExitCode::SUCCESS)
}

/// Prints a progress line.
fn say(line: &str) {
    eprintln!("xtask: {line}");
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use std::fs;

    use regex::Regex;
    use spamdrop_lab::guide::{pages, root};

    use super::*;

    #[test]
    fn every_documented_xtask_command_exists() {
        let named = Regex::new(r"cargo xtask(( [a-z-]+| [0-9]+)+)").unwrap();
        let mut seen = 0;
        for page in pages().unwrap() {
            for found in named.captures_iter(&page.text) {
                let words = std::iter::once("xtask").chain(found[1].split_whitespace());
                if let Err(error) = Cli::try_parse_from(words) {
                    panic!("{}: `{}`: {error}", page.path.display(), &found[0]);
                }
                seen += 1;
            }
        }
        assert!(seen > 5, "{seen}");
    }

    #[test]
    fn ci_runs_the_test_command_of_the_readme() {
        let read = |path| fs::read_to_string(root().join(path)).unwrap();
        assert!(read("README.md").contains("\ncargo xtask test "));
        assert!(read(".ci/run").contains("\ncargo xtask test "));
    }
}
