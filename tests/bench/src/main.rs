//! `cargo xtask bench`: measures spamdrop beside its alternatives.
//!
//! Everything runs in network namespaces that end with this process. The table
//! goes to standard output, as Markdown; messages go to standard error.

mod flood;
mod idle;
mod latency;
mod lists;
mod log;
mod machine;
mod packets;
mod sample;
mod table;
mod wave;

use std::io::{self, Write};
use std::time::Duration;

use anyhow::Result;
use clap::{Parser, ValueEnum};

use latency::Effort;
use machine::{Cores, Machine};
use packets::Thoroughness;
use sample::MAX_SPREAD;
use table::Case;

/// Measures spamdrop beside its alternatives.
#[derive(Parser)]
struct Options {
    /// Fewer and shorter rounds, and no list of 16 M
    #[arg(long)]
    quick: bool,
    /// Measure this group only (may be repeated)
    #[arg(long, value_name = "GROUP")]
    only: Vec<Group>,
    /// Only show what a botnet's wave does to a small mail server
    #[arg(long)]
    wave: bool,
    /// Add 16 map look-ups to each packet, to check that the figures fall
    #[arg(long, hide = true)]
    slow: bool,
}

/// The groups of measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Group {
    /// The packet path
    Packets,
    /// From a log line to the drop
    Latency,
    /// Import and export of a million addresses, one `add`, the FIFO, the start, memory
    Lists,
    /// Log processing, from bytes to decisions
    Log,
    /// The SYN floods in which strangers still get through
    Flood,
    /// CPU time and wake-ups of the daemon while nothing comes, CPU time of `top`
    Idle,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if options.wave {
        return wave::show(options.quick, &mut io::stdout());
    }
    let groups = if options.only.is_empty() {
        Group::value_variants()
    } else {
        &options.only
    };
    let machine = Machine::look()?;
    let mut cases = Vec::new();
    for group in groups {
        cases.extend(group.measure(&options)?);
    }
    report(&machine, &options, &cases, &mut io::stdout())?;
    Ok(())
}

impl Group {
    fn measure(self, options: &Options) -> Result<Vec<Case>> {
        match self {
            Self::Packets => packets::cases(Cores::find()?, options.thoroughness()),
            Self::Latency => latency::cases(Cores::find()?, options.effort()),
            Self::Lists => lists::cases(options.thoroughness()),
            Self::Log => log::cases(options.thoroughness()),
            Self::Flood => flood::cases(Cores::find()?, options.quick),
            Self::Idle => idle::cases(options.quick),
        }
    }
}

impl Options {
    fn thoroughness(&self) -> Thoroughness {
        let (rounds, milliseconds) = if self.quick { (3, 300) } else { (7, 400) };
        Thoroughness {
            rounds,
            length: Duration::from_millis(milliseconds),
            quick: self.quick,
            slow: self.slow,
        }
    }

    fn effort(&self) -> Effort {
        let (lines, slow_lines, seconds) = if self.quick { (20, 1, 3) } else { (30, 5, 6) };
        Effort {
            rounds: self.thoroughness().rounds,
            lines,
            slow_lines,
            timeout: Duration::from_secs(seconds),
        }
    }

    fn command(&self) -> String {
        let mut command = String::from("cargo xtask bench");
        if self.quick {
            command.push_str(" --quick");
        }
        for group in &self.only {
            command.push_str(&format!(" --only {group:?}").to_lowercase());
        }
        if self.slow {
            command.push_str(" --slow");
        }
        command
    }
}

fn report(
    machine: &Machine,
    options: &Options,
    cases: &[Case],
    out: &mut impl Write,
) -> io::Result<()> {
    writeln!(out, "# Benchmarks\n")?;
    writeln!(
        out,
        "Written by `{}`; not edited by hand.",
        options.command()
    )?;
    writeln!(out, "{machine}.\n")?;
    if options.slow {
        writeln!(
            out,
            "**spamdrop is slowed down: 16 look-ups are wasted on each packet.**\n"
        )?;
    }
    table::write(cases, out)?;
    let thoroughness = options.thoroughness();
    let (rounds, of_packets, of_lists) = (
        thoroughness.rounds,
        packets::rounds(thoroughness),
        lists::rounds(thoroughness),
    );
    writeln!(
        out,
        "\nMedians of {rounds} rounds in which everything takes its turn, of {of_packets} for packets, and of\n\
         {of_lists} for lists and the daemon. A ratio is the case's first figure divided by the line's own, round\n\
         by round, and the median of that; it is refused where the quartiles of its rounds\n\
         are further apart than {MAX_SPREAD} of their median. Whether the bar holds is said all the\n\
         same where each of its rounds says so."
    )?;
    out.write_all(include_bytes!("legend.md"))
}
