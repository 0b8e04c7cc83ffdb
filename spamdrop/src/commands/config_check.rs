//! `config check`: settings that are valid but unwise.

use std::io::Write;
use std::path::Path;

use anyhow::{Context as _, Result};
use tokio::runtime;

use crate::checks;
use crate::cli;
use crate::config::{Config, PATH};
use crate::kernel::network::{self, Framing, named};
use crate::render::check::{self, Checked};
use crate::render::json;
use spamdrop_core::warning::Warning;

/// Runs the verb on a configuration that was read and so is valid.
///
/// # Errors
///
/// `run` would refuse the configuration ([`crate::exit::Exit::Config`]), the
/// kernel cannot be queried, or the mail server's file cannot be read.
pub fn run(
    config: &Config,
    path: Option<&Path>,
    args: &cli::Check,
    out: &mut impl Write,
) -> Result<()> {
    let default = || Path::new(PATH).exists().then_some(Path::new(PATH));
    if config.journal {
        config.journal_args()?;
    }
    let mut warnings = Vec::new();
    interfaces(config, &mut warnings)?;
    logs(config, &mut warnings);
    warnings.extend(checks::warnings(config)?);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot query the mail server and the zones")?;
    warnings.extend(runtime.block_on(checks::answer(config))?);
    warnings.extend(runtime.block_on(checks::zones::warnings(config, args.offline))?);
    let checked = Checked {
        config: path.or_else(default).map(Into::into),
        warnings,
    };
    if args.output.json {
        json::object(out, &checked)?;
    } else {
        check::text(out, &checked)?;
    }
    Ok(())
}

fn interfaces(config: &Config, warnings: &mut Vec<Warning>) -> Result<()> {
    let existing = network::interfaces()?;
    let about = "interfaces";
    if config.interfaces.is_empty() {
        let text = "is empty; `spamdrop run` then needs --interface".into();
        warnings.push(Warning { about, text });
    }
    for name in &config.interfaces {
        let text = match named(&existing, name).map(|interface| &interface.framing) {
            None => format!("there is no interface {name:?}; `ip link` lists them"),
            Some(Framing::Unknown(kind)) => format!(
                "{name:?} has the link type {kind}, whose packets the filter cannot parse, so it refuses this interface"
            ),
            Some(_) => continue,
        };
        warnings.push(Warning { about, text });
    }
    checks::ensure_no_overlap(config)
}

fn logs(config: &Config, warnings: &mut Vec<Warning>) {
    let files = config.logs.iter().filter(|path| path.as_os_str() != "-");
    for path in files.filter(|path| !path.exists()) {
        warnings.push(Warning {
            about: "logs",
            text: format!("there is no file {path:?}; `spamdrop run` waits for it"),
        });
    }
}
