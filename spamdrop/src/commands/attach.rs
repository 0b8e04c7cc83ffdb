//! `attach`: the filter without the daemon.

use std::io::Write;

use crate::cli;
use crate::config::Config;
use crate::install::{self, FilterSettings};
use crate::kernel::attach::Mode;
use crate::lock::WriteLock;
use crate::protect;
use anyhow::Result;

/// Runs the verb.
///
/// # Errors
///
/// Those of [`install::install`], or the writer fails.
pub fn run(mut config: Config, args: &cli::Attach, out: &mut impl Write) -> Result<()> {
    if let Some(mode) = args.mode {
        config.mode = mode.into();
    }
    let lock = WriteLock::acquire(&config.run_dir)?;
    let protected = protect::protected(&config.allow_file)?;
    let installed = install::install(
        &lock,
        &FilterSettings::new(&config),
        &args.interfaces,
        &protected,
        0,
    )?;
    drop(lock);
    for attached in installed.attached {
        let name = &attached.interface.name;
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
    Ok(())
}

impl From<cli::Mode> for Mode {
    fn from(mode: cli::Mode) -> Self {
        match mode {
            cli::Mode::Auto => Self::Auto,
            cli::Mode::Native => Self::Native,
            cli::Mode::Generic => Self::Generic,
        }
    }
}
