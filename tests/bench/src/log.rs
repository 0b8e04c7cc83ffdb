//! Log processing, from bytes to decisions.

mod contender;
mod traffic;

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::packets::Thoroughness;
use crate::sample::Sample;
use crate::table::{Bar, Case, Unit};
use contender::{Contender, Kind};
use traffic::Written;

/// Number of lines in the log.
const LINES: u64 = 1_000_000;
/// Number of lines for fail2ban-regex, which would take ten seconds for all
/// [`LINES`].
const FEW: u64 = 100_000;

/// The contender in the first line of the table; its peers follow.
const SUBJECT: &str = "spamdrop scan";
const PEERS: [(&str, Kind, Option<Bar>); 4] = [
    (
        "rg, the same pattern",
        Kind::Pattern,
        Some(Bar::AtLeast(1.0)),
    ),
    ("rg, a pattern for this log", Kind::Short, None),
    ("grep -c ': 511 '", Kind::Grep, Some(Bar::AtLeast(0.7))),
    ("fail2ban-regex", Kind::Fail2ban, Some(Bar::AtLeast(200.0))),
];

/// A log file whose content is in the page cache.
struct Log {
    path: PathBuf,
    written: Written,
}

impl Log {
    fn write(path: PathBuf, lines: u64) -> Result<Self> {
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let mut out = BufWriter::new(file);
        let written = traffic::write(lines, &mut out)?;
        out.flush()?;
        // The file is synced before the measurements, so that no write-back
        // disturbs them.
        out.get_ref().sync_all()?;
        Ok(Self { path, written })
    }
}

/// Measures all log cases.
///
/// # Errors
///
/// The log cannot be written, or spamdrop's result is wrong. A peer that cannot
/// be measured is only noted in the table.
pub fn cases(thoroughness: Thoroughness) -> Result<Vec<Case>> {
    let directory = TempDir::new()?;
    let log = |name, lines| Log::write(directory.path().join(name), lines);
    let whole = log("mail.log", LINES)?;
    let few = log("few.log", FEW)?;
    let config = directory.path().join("spamdrop.toml");
    File::create(&config)?;

    let contender = |kind| match kind {
        Kind::Fail2ban => Contender::new(kind, &few, &config),
        _ => Contender::new(kind, &whole, &config),
    };
    let subject = contender(Kind::Spamdrop)?;
    let peers = PEERS.map(|(_, kind, _)| contender(kind));
    let (subject, peers) = alternate(thoroughness.rounds, &subject, peers)?;
    let mut case = Case::new(
        "log of 1,000,000 lines",
        Unit::BytesPerSecond,
        SUBJECT,
        subject,
    );
    for ((name, _, bar), sample) in PEERS.into_iter().zip(peers) {
        match sample {
            Ok(sample) => case.beside(name, sample, bar),
            Err(error) => case.without(name, format!("{error:#}"), bar),
        }
    }
    Ok(vec![case])
}

/// Runs all contenders in turn in every round. A peer that fails is not run
/// again.
fn alternate<const N: usize>(
    rounds: usize,
    subject: &Contender,
    peers: [Result<Contender>; N],
) -> Result<(Sample, [Result<Sample>; N])> {
    // The first run is not measured, because it loads the programs from disk.
    subject.run()?;
    let mut own = Sample::default();
    let mut peers = peers.map(|peer| {
        let peer = peer?;
        peer.run()?;
        Ok((peer, Sample::default()))
    });
    for _ in 0..rounds {
        own.0.push(subject.run()?);
        for peer in &mut peers {
            if let Ok((contender, sample)) = peer {
                match contender.run() {
                    Ok(rate) => sample.0.push(rate),
                    Err(error) => *peer = Err(error),
                }
            }
        }
    }
    Ok((own, peers.map(|peer| peer.map(|(_, sample)| sample))))
}

/// The path as a command's argument.
fn path_text(path: &Path) -> Result<&str> {
    path.to_str()
        .context("the temporary directory's name is not UTF-8")
}
