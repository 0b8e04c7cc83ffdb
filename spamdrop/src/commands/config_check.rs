//! `config check`: what is unwise without being wrong.

use std::io::Write;
use std::path::Path;
use std::{fs, io};

use anyhow::{Context as _, Result};

use super::esmtpd;
use crate::cli::Output;
use crate::config::{Config, PATH};
use crate::network;
use crate::parse::Server;
use crate::release::sockets;
use crate::report::check::{self, Checked, Warning};
use crate::report::json;

/// Runs the verb on a configuration that has been read, so is valid.
///
/// # Errors
///
/// The kernel does not answer, or the mail server's file cannot be read.
pub fn run(config: &Config, path: Option<&Path>, args: Output, out: &mut impl Write) -> Result<()> {
    let default = || Path::new(PATH).exists().then_some(Path::new(PATH));
    let mut warnings = Vec::new();
    interfaces(config, &mut warnings)?;
    listeners(config, &mut warnings)?;
    logs(config, &mut warnings);
    if config.servers.contains(&Server::Courier) {
        courier(config, &mut warnings)?;
    }
    let checked = Checked {
        config: path.or_else(default).map(Into::into),
        warnings,
    };
    if args.json {
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
        let text = "names none; `spamdrop run` then needs --interface".into();
        warnings.push(Warning { about, text });
    }
    for name in &config.interfaces {
        if existing.iter().all(|interface| interface.name != *name) {
            let text = format!("there is no interface {name:?}; `ip link` lists them");
            warnings.push(Warning { about, text });
        }
    }
    Ok(())
}

fn listeners(config: &Config, warnings: &mut Vec<Warning>) -> Result<()> {
    for &port in &config.ports {
        if !sockets::is_listening(port).context("cannot list the listening sockets")? {
            warnings.push(Warning {
                about: "ports",
                text: format!(
                    "nothing listens on port {port} in this network namespace; is the mail server down, or elsewhere?"
                ),
            });
        }
    }
    Ok(())
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

fn courier(config: &Config, warnings: &mut Vec<Warning>) -> Result<()> {
    let path = config.courier_dir.join("esmtpd");
    match fs::read(&path) {
        Ok(script) => {
            let settings = esmtpd::settings(&script);
            warnings.extend(esmtpd::warnings(&settings, config.release));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => warnings.push(Warning {
            about: "courier_dir",
            text: format!("there is no file {path:?}, so Courier's settings were not checked"),
        }),
        Err(error) => {
            return Err(error).with_context(|| format!("cannot read {}", path.display()));
        }
    }
    Ok(())
}
