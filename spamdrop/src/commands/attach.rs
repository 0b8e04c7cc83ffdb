//! `attach`: the filter without the daemon.

use std::io::Write;

use crate::cli;
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::install::{self, FilterSettings};
use crate::kernel::attach::{self, AttachMode, Refused};
use crate::kernel::blocklist::pins;
use crate::kernel::network::{self, overlaps};
use crate::lock::WriteLock;
use crate::protect;
use anyhow::{Error, Result};

/// Runs the verb.
///
/// # Errors
///
/// Those of [`install::install`]; an interface could not get the filter, while the other
/// interfaces got it; or the writer fails.
pub fn run(mut config: Config, args: &cli::Attach, out: &mut impl Write) -> Result<()> {
    if let Some(mode) = args.mode {
        config.mode = mode.into();
    }
    let lock = WriteLock::acquire(&config.run_dir)?;
    ensure_no_overlap(&config, &args.interfaces)?;
    let was_pinned = pins::exist(&config.pin_dir)?;
    let protected = protect::protected(&config.allow_file)?;
    let installed = install::install(
        &lock,
        &FilterSettings::new(&config),
        &args.interfaces,
        &protected,
        0,
    )?;
    if installed.attached.is_empty() && !was_pinned {
        attach::detach(&lock, &config.pin_dir)?;
    }
    drop(lock);
    for attached in installed.attached {
        let name = &attached.name;
        let done = if attached.replaced {
            "filter replaced"
        } else {
            "filter attached"
        };
        let place = match attached.interface.xdp {
            Some(xdp) if xdp.native => format!("native (program {})", xdp.program_id),
            Some(xdp) => format!("generic: slower than native (program {})", xdp.program_id),
            None => "but it was removed since".into(),
        };
        writeln!(out, "{name}: {done}, {place}")?;
    }
    match failure(installed.refused) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// One error for all interfaces that do not have the filter.
fn failure(mut refused: Vec<Refused>) -> Option<Error> {
    if refused.len() <= 1 {
        return refused.pop().map(|refused| refused.error);
    }
    let each = refused.iter().map(|refused| format!("{:#}", refused.error));
    let message = each.collect::<Vec<_>>().join("; ");
    Some(Failure::new(Exit::Failed, message))
}

/// Fails if an interface carries the same packets as another, or as one that
/// has the filter already.
fn ensure_no_overlap(config: &Config, names: &[String]) -> Result<()> {
    let links = attach::linked(&config.pin_dir)?.into_iter();
    let mut all = names.to_vec();
    all.extend(
        links
            .filter(|link| link.interface().is_some() && !names.contains(&link.name))
            .map(|link| link.name),
    );
    let found = overlaps(&all, &network::interfaces()?);
    match found.first() {
        Some(overlap) => Err(Failure::new(Exit::Failed, overlap.to_string())),
        None => Ok(()),
    }
}

impl From<cli::ModeChoice> for AttachMode {
    fn from(mode: cli::ModeChoice) -> Self {
        match mode {
            cli::ModeChoice::Auto => Self::Auto,
            cli::ModeChoice::Native => Self::Native,
            cli::ModeChoice::Generic => Self::Generic,
        }
    }
}
