//! `attach`: the filter, without a watcher.

use std::io::Write;

use anyhow::Result;
use aya::Ebpf;

use crate::attach::{self, Attached, Mode, Plan};
use crate::blocklist::Blocklist;
use crate::cli;
use crate::config::Config;
use crate::lock::Turn;
use crate::protect;

/// A filter that is in place and configured.
pub struct Up {
    /// The loaded object, for its log; may be dropped.
    pub object: Ebpf,
    /// Its maps.
    pub blocklist: Blocklist,
    /// The interfaces that it was put on.
    pub attached: Vec<Attached>,
}

/// Puts the filter on interfaces, or replaces it there, and tells it the
/// settings and the allowlist. `log_level` is that of `--log-packets`.
///
/// # Errors
///
/// Those of [`attach::attach`]; the allowlist cannot be read; the kernel
/// refuses a map operation.
pub fn bring_up(config: &Config, names: &[String], log_level: u8) -> Result<Up> {
    let protected = protect::protected(config)?;
    let plan = Plan {
        log_level,
        ..config.plan()
    };
    let turn = Turn::take(&config.run_dir)?;
    let (object, attached) = attach::attach(&turn, &config.pin_dir, names, plan)?;
    let mut blocklist = Blocklist::open(&config.pin_dir)?;
    blocklist.allow_exactly(&turn, &protect::allowed(&protected))?;
    blocklist.configure(&turn, config.settings())?;
    Ok(Up {
        object,
        blocklist,
        attached,
    })
}

/// Runs the verb.
///
/// # Errors
///
/// Those of [`bring_up`], or the writer fails.
pub fn run(mut config: Config, args: &cli::Attach, out: &mut impl Write) -> Result<()> {
    if let Some(mode) = args.mode {
        config.mode = mode.into();
    }
    for attached in bring_up(&config, &args.interfaces, 0)?.attached {
        let name = &attached.interface.name;
        let done = if attached.replaced {
            "filter replaced"
        } else {
            "filter attached"
        };
        let place = match attached.interface.xdp {
            Some(xdp) if xdp.native => format!("native (program {})", xdp.program_id),
            Some(xdp) => format!("generic: slower than native (program {})", xdp.program_id),
            None => "but it is gone again".into(),
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
