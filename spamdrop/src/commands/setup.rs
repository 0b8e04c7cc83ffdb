//! `setup`: proposes the configuration for this machine.

use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::cli;
use crate::config::{Config, PATH};
use crate::directory;
use crate::durable;
use crate::exit::{Exit, Failure};
use crate::kernel::network;
use crate::render::setup;
use crate::server_settings::{self, Places, gather};
use crate::tail::has_recent_entry;
use spamdrop_core::dnsbl::key::mask;
use spamdrop_core::dnsbl::rule::Effect;
use spamdrop_core::log::MailServer;
use spamdrop_core::server_settings::{ServerSettings, SlotSetting};
use spamdrop_core::setup::{FoundMachine, Step, apply, propose};

/// The usual logs of mail servers.
const LOGS: [&str; 2] = ["/var/log/mail.log", "/var/log/maillog"];
/// The socket of journald.
const JOURNAL: &str = "/run/systemd/journal/socket";
/// Exim's own log.
const LOGS_OF_EXIM: [&str; 2] = ["/var/log/exim4/mainlog", "/var/log/exim/main.log"];

/// Runs the verb.
///
/// # Errors
///
/// Something has to be set by hand ([`Exit::Failed`], after the proposal is
/// shown); or the file cannot be read or written.
pub fn run(
    config: &Config,
    path: Option<&Path>,
    args: cli::SetupOptions,
    out: &mut impl Write,
) -> Result<()> {
    let path = path.unwrap_or(Path::new(PATH));
    let old = match fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        read => read.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let table: toml::Table = toml::from_str(&old)?;
    let is_set = |key: &str| table.contains_key(key);
    let (found, settings) = find(config, is_set("servers"))?;
    let proposals = propose(&found, is_set);
    let (new, changes) = apply(&old, &proposals);
    setup::write_text(out, path, &proposals, &changes)?;
    Config::parse(&new)
        .with_context(|| format!("the proposal for {} is not valid", path.display()))?;
    if args.write {
        write(config, path, &new, settings)?;
    }
    match proposals.iter().any(|proposal| proposal.step == Step::Ask) {
        true => Err(Failure::silent(Exit::Failed as u8)),
        false => Ok(()),
    }
}

fn write(config: &Config, path: &Path, text: &str, settings: Vec<ServerSettings>) -> Result<()> {
    directory::make(&directory::of_file(path), 0o755)?;
    // If the path is a symbolic link, replace its target.
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    rewrite(&real, text).with_context(|| format!("cannot write {}", path.display()))?;
    log::info!("wrote {}", path.display());
    if !settings.is_empty() {
        let file = server_settings::file_of(settings);
        let path = server_settings::write(&config.run_dir, &file)?;
        log::info!("wrote {}", path.display());
    }
    Ok(())
}

/// Replaces the file, with the owner and mode of the old one. A new file is readable
/// for all, because the daemon's account must read it.
fn rewrite(path: &Path, text: &str) -> io::Result<()> {
    let old = fs::metadata(path).ok();
    durable::replace(path, text.as_bytes())?;
    let mode = old.as_ref().map_or(0o644, |old| old.mode() & 0o777);
    if let Some(old) = &old {
        chown(path, Some(old.uid()), Some(old.gid()))?;
    }
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    durable::sync_directory_of(path)
}

/// Finds the mail servers, their settings and logs, and the interfaces. `is_set`:
/// whether the configuration sets `servers`, which then overrides the servers found.
fn find(config: &Config, is_set: bool) -> Result<(FoundMachine, Vec<ServerSettings>)> {
    let places = Places::default();
    let mut settings = Vec::new();
    let mut servers = Vec::new();
    for server in [MailServer::Courier, MailServer::Postfix, MailServer::Exim] {
        let is_courier = server == MailServer::Courier;
        match gather(server, &places) {
            Ok(Some(found)) => {
                servers.push(server);
                settings.push(found);
            }
            Ok(None) if is_courier && config.courier_dir.join("esmtpd").exists() => {
                servers.push(server);
            }
            Ok(None) => {}
            Err(error) => log::debug!("{}: {error:#}", server.name()),
        }
    }
    if is_set {
        servers.clone_from(&config.servers);
        settings.retain(|it| servers.contains(&it.server));
    }
    let own = Config {
        journal: true,
        journal_match: Vec::new(),
        servers: servers.clone(),
        ..config.clone()
    };
    let slots_and_zones = match (servers.as_slice(), settings.as_slice()) {
        ([MailServer::Courier, ..], _) => of_courier(&own)?,
        ([_], [settings]) => of_settings(settings),
        _ => (None, Vec::new()),
    };
    let found = FoundMachine {
        interfaces: network::default_interfaces()?,
        is_in_journal: !servers.is_empty() && is_in_journal(&own),
        has_journal: Path::new(JOURNAL).exists(),
        logs: logs(&servers),
        slots: slots_and_zones.0,
        zones: slots_and_zones.1,
        servers,
    };
    Ok((found, settings))
}

type SlotsAndZones = (Option<Result<(u32, String), String>>, Vec<String>);

fn of_courier(config: &Config) -> Result<SlotsAndZones> {
    let slots = config.server_slots();
    let slots = match slots.is_unknown {
        true => Err(slots.trouble.unwrap_or_default()),
        false => Ok((slots.count, "MAXDAEMONS".to_owned())),
    };
    let zones = config.asked_zones()?;
    Ok((Some(slots), rejecting(zones.rules())))
}

fn of_settings(settings: &ServerSettings) -> SlotsAndZones {
    let slots = match &settings.slots {
        SlotSetting::Known { count, setting } => Ok((*count, setting.clone())),
        SlotSetting::Unknown(why) => Err(why.clone()),
    };
    (Some(slots), rejecting(&settings.rules))
}

/// The zones on whose listing the server rejects, alone or together with others.
fn rejecting(rules: &[spamdrop_core::dnsbl::rule::Rule]) -> Vec<String> {
    let rejects = |effect: &Effect| match effect {
        Effect::Reject(_) => true,
        Effect::Weigh { weight, .. } => *weight > 0,
        _ => false,
    };
    let rules = rules.iter().filter(|rule| rejects(&rule.effect));
    let mut zones: Vec<String> = rules.map(|rule| mask(&rule.zone).into_owned()).collect();
    zones.dedup();
    zones
}

fn is_in_journal(config: &Config) -> bool {
    let args = match config.journal_args() {
        Ok(args) => args,
        Err(error) => {
            log::debug!("{error:#}");
            return false;
        }
    };
    has_recent_entry(&args).unwrap_or_else(|error| {
        log::debug!("{error:#}");
        false
    })
}

fn logs(servers: &[MailServer]) -> Vec<String> {
    let own: &[&str] = match servers {
        [MailServer::Exim] => &LOGS_OF_EXIM,
        _ => &[],
    };
    let paths = own.iter().chain(&LOGS).map(PathBuf::from);
    let existing = paths.filter(|path| path.is_file());
    existing.map(|path| path.display().to_string()).collect()
}
