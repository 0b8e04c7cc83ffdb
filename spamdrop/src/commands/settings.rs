//! `settings`: reads the mail server's settings, and writes them for the daemon.

use std::io::Write;

use anyhow::Result;

use crate::cli;
use crate::config::Config;
use crate::daemon::prepare_directories;
use crate::exit::{Exit, Failure};
use crate::render::json;
use crate::render::settings;
use crate::server_settings::{self, Places, are_gathered, gather};
use spamdrop_core::server_settings::SettingsFile;

/// Runs the verb.
///
/// # Errors
///
/// `servers` names neither Postfix nor Exim, and `--write` is not given
/// ([`Exit::Failed`]); settings cannot be read; or the file cannot be written.
pub fn run(config: &Config, args: cli::SettingsOptions, out: &mut impl Write) -> Result<()> {
    if args.write {
        prepare_directories(config)?;
    }
    if !config.servers.iter().any(|server| are_gathered(*server)) {
        let message = "`servers` names neither postfix nor exim; if one of them runs here, name \
                       it. The settings of Courier are read from `courier_dir` by \
                       `spamdrop run` itself";
        if args.write {
            // spamdrop.service runs `settings --write` with every mail server, so this is
            // no error.
            log::info!("{message}");
            return Ok(());
        }
        return Err(Failure::new(Exit::Failed, message));
    }
    let file = gather_all(config)?;
    match args.output.json {
        true => json::object(out, &settings::masked(&file))?,
        false => settings::write_text(out, &file)?,
    }
    if args.write {
        let path = server_settings::write(&config.run_dir, &file)?;
        log::info!("wrote {}", path.display());
    }
    Ok(())
}

/// Gathers the settings of all servers.
///
/// # Errors
///
/// The settings of one of the servers cannot be read.
pub(super) fn gather_all(config: &Config) -> Result<SettingsFile> {
    let places = Places::default();
    let mut servers = Vec::new();
    for server in &config.servers {
        servers.extend(gather(*server, &places)?);
    }
    Ok(server_settings::file_of(servers))
}
