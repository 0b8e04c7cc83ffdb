//! Warnings about settings that are valid but unwise. `run` logs them at its
//! start, and `config check` prints them.

use std::fs;

use anyhow::{Context as _, Result};

use crate::account;
use crate::config::Config;
use crate::courier;
use crate::kernel::sockets;
use crate::readable;
use crate::render::trust;
use crate::server_settings::{self, HOW_TO_WRITE, are_gathered};
use spamdrop_core::escape::escape;
use spamdrop_core::log::MailServer;
use spamdrop_core::warning::Warning;

mod auth;
pub mod directories;
mod settings;
mod start;
pub use auth::answer;
pub use start::{
    ensure_complete, ensure_logs, ensure_no_overlap, ensure_reloadable, ensure_slots,
    ensure_startable,
};

pub mod zones;

/// Collects warnings about spamdrop's configuration and the mail server's, except
/// those of [`listeners`], [`answer`] and [`zones::warnings`].
///
/// # Errors
///
/// Courier's `esmtpd`, or the file of gathered settings in `run_dir`, cannot be read or
/// parsed.
pub fn warnings(config: &Config) -> Result<Vec<Warning>> {
    let mut warnings = settings::warnings(config);
    warnings.extend(directories::stays_root(config));
    warnings.extend(plain_files(config));
    warnings.extend(journal(config));
    warnings.extend(no_acceptances(&config.servers));
    if config.servers.contains(&MailServer::Courier) {
        warnings.extend(courier(config)?);
    }
    warnings.extend(gathered(config)?);
    Ok(warnings)
}

/// Warns if the default matches of the journal select no entries of a configured server.
fn journal(config: &Config) -> Option<Warning> {
    let other = config.server_without_match()?;
    Some(Warning {
        about: "journal_match",
        text: format!(
            "is empty, and the defaults do not select the entries of {other:?}, so they are not \
             read; name matches for all of `servers`"
        ),
    })
}

/// Warns about watched ports on which nothing listens.
///
/// # Errors
///
/// The kernel cannot be queried.
pub fn listeners(config: &Config) -> Result<Vec<Warning>> {
    let mut warnings = Vec::new();
    for &port in &config.ports {
        if !sockets::is_listening(port).context("cannot list the listening sockets")? {
            warnings.push(Warning {
                about: "ports",
                text: format!(
                    "nothing listens on port {port} in this network namespace; is the mail server down, or in another namespace?"
                ),
            });
        }
    }
    Ok(warnings)
}

/// Warns about a log that is a plain file, because a local user may forge its lines.
/// Standard input is exempt: its source is the administrator's choice.
fn plain_files(config: &Config) -> Option<Warning> {
    let file = config.logs.iter().find(|path| path.as_os_str() != "-")?;
    let advice = if config.journal {
        "a file as a second source defeats the journal's protection, so set logs = []"
    } else {
        "set journal = true where the mail server logs to the journal"
    };
    Some(Warning {
        about: "logs",
        text: format!("{file:?}: {}; {advice}", trust::PLAIN_FILE),
    })
}

/// Warns if no server logs accepted mail. Then, only `max_new_per_minute` bounds the damage
/// of a broken blocklist.
fn no_acceptances(servers: &[MailServer]) -> Option<Warning> {
    if servers.is_empty() || servers.iter().any(|server| server.tells_acceptances()) {
        return None;
    }
    let names: Vec<_> = servers.iter().map(|server| format!("{server:?}")).collect();
    Some(Warning {
        about: "servers",
        text: format!(
            "{}: the log does not say whose mail was accepted, so only `max_new_per_minute` detects a blocklist that lists everybody; set it low, and allow the servers that you know",
            names.join(", ")
        ),
    })
}

/// Warns if the settings of Postfix or Exim were not read, have changed since, conflict
/// with spamdrop, or are not understood.
fn gathered(config: &Config) -> Result<Vec<Warning>> {
    let about = "servers";
    let Some(file) = config.gathered_settings()? else {
        let is_needed = config.servers.iter().any(|server| are_gathered(*server));
        let text = format!("the mail server's own settings were not read; {HOW_TO_WRITE}");
        return Ok(is_needed
            .then_some(Warning { about, text })
            .into_iter()
            .collect());
    };
    let mut warnings = Vec::new();
    if let Some(path) = server_settings::changed(&file) {
        let text = format!(
            "{path} was changed after the mail server's settings were read; {HOW_TO_WRITE}"
        );
        warnings.push(Warning { about, text });
    }
    for settings in &file.servers {
        let server = settings.server.name();
        warnings.extend(settings.notes.iter().map(|note| Warning {
            about,
            text: format!(
                "{server}: {}: {}",
                escape(note.setting.as_bytes()),
                escape(note.text.as_bytes())
            ),
        }));
    }
    Ok(warnings)
}

fn courier(config: &Config) -> Result<Vec<Warning>> {
    let Some(settings) = courier::settings(&config.courier_dir)? else {
        let path = config.courier_dir.join("esmtpd");
        return Ok(vec![Warning {
            about: "courier_dir",
            text: format!("there is no file {path:?}, so Courier's settings were not checked"),
        }]);
    };
    let mut warnings = settings.warnings(config.release);
    warnings.extend(recipients_filters(config));
    warnings.extend(unreadable(config));
    Ok(warnings)
}

/// Warns if the daemon's account cannot read the file of Courier that names its
/// blocklists.
fn unreadable(config: &Config) -> Option<Warning> {
    let _acting = account::act_as_daemon().ok()?;
    let files = ["esmtpd", "smtpaccess"].map(|name| config.courier_dir.join(name));
    let closed = files.iter().find(|path| readable::is_refused(path))?;
    Some(Warning {
        about: "courier_dir",
        text: readable::advice(closed, &account::daemon()),
    })
}

/// Warns if recipients may refuse senders by filters of their own, because Courier sends
/// their words with the code of a blocklist's (localmailfilter(7)).
fn recipients_filters(config: &Config) -> Option<Warning> {
    let filter = config.courier_dir.join("maildropfilter");
    let is_set = fs::read(&filter).is_ok_and(|program| !program.trim_ascii().is_empty());
    (is_set && config.reject_text.is_empty()).then(|| Warning {
        about: "reject_text",
        text: format!(
            "is empty, and {filter:?} lets recipients refuse senders by filters of their own, \
             whose words Courier sends with the code 511, too: such a sender would be blocked for \
             all; write a pattern that matches the texts of your blocklists only"
        ),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn filters_of_recipients_need_a_reject_text() {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config {
            courier_dir: dir.path().into(),
            ..Config::default()
        };
        let about = |config: &Config| recipients_filters(config).map(|warning| warning.about);
        let filter = dir.path().join("maildropfilter");
        assert_eq!(about(&config), None);
        fs::write(&filter, "\n").unwrap();
        assert_eq!(about(&config), None);
        fs::write(&filter, "/usr/bin/maildrop\n").unwrap();
        assert_eq!(about(&config), Some("reject_text"));
        config.reject_text = "zen".into();
        assert_eq!(about(&config), None);
    }

    #[test]
    fn servers_that_log_no_acceptances_are_named() {
        let text = |servers: &[MailServer]| no_acceptances(servers).map(|warning| warning.text);
        let warned = text(&[MailServer::Sendmail, MailServer::Haraka]).unwrap_or_default();
        assert!(warned.starts_with("Sendmail, Haraka: the log"), "{warned}");
        assert_eq!(text(&[MailServer::Haraka, MailServer::Rspamd]), None);
        assert_eq!(text(&[]), None);
    }
}
