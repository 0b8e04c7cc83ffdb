//! Warnings about settings that are valid, but probably a mistake.

use std::io::ErrorKind;

use spamdrop_core::dnsbl::key::mask;
use spamdrop_core::duration::human;
use spamdrop_core::warning::Warning;

use crate::account;
use crate::config::Config;
use crate::readable;

/// The port of SSH.
const SSH: u16 = 22;

/// The warnings of all checks of this module.
#[must_use]
pub(super) fn warnings(config: &Config) -> Vec<Warning> {
    let warn = |about, text| Warning { about, text };
    let ports = ports(&config.ports).into_iter();
    let each = [
        short_limit(config).map(|text| warn("hard_limit", text)),
        relative_fifo(config).map(|text| warn("fifo", text)),
        resolv_conf(config).map(|text| warn("resolv_conf", text)),
        last_zone(&config.zones).map(|text| warn("zones", text)),
    ];
    let ports = ports.map(|text| warn("ports", text));
    ports.chain(each.into_iter().flatten()).collect()
}

fn ports(ports: &[u16]) -> Vec<String> {
    let mut texts = Vec::new();
    if ports.contains(&SSH) {
        texts.push(format!(
            "has {SSH}, the port of SSH: an administrator whose address is blocked cannot log in; \
             take it out"
        ));
    }
    for (index, port) in ports.iter().enumerate() {
        let before = ports.iter().take(index);
        if before.filter(|other| *other == port).count() == 1 {
            texts.push(format!("names {port} more than once"));
        }
    }
    texts
}

fn short_limit(config: &Config) -> Option<String> {
    let is_short = !config.hard_limit.is_zero() && config.hard_limit < config.ttl;
    is_short.then(|| {
        format!(
            "{} is less than `ttl` ({}), so a block ends at the hard limit, before `ttl` is over, and no packet extends it",
            human(config.hard_limit),
            human(config.ttl)
        )
    })
}

fn relative_fifo(config: &Config) -> Option<String> {
    let path = &config.fifo;
    (!path.as_os_str().is_empty() && path.is_relative()).then(|| {
        format!(
            "{path:?} is relative, so its place depends on where the daemon is started; write an \
             absolute path, such as {:?}",
            config.run_dir.join("recent")
        )
    })
}

/// Warns if `resolv_conf` does not exist, or the daemon's account cannot read it. The check
/// runs as that account.
fn resolv_conf(config: &Config) -> Option<String> {
    let path = &config.resolv_conf;
    let _acting = account::act_as_daemon().ok();
    match std::fs::read(path) {
        Ok(_) => None,
        Err(error) if error.kind() == ErrorKind::NotFound => Some(format!(
            "there is no file {path:?}, so the name server on 127.0.0.1 is asked"
        )),
        Err(_) if readable::is_refused(path) => Some(readable::advice(path, &account::daemon())),
        Err(error) => Some(format!("cannot read {path:?}: {error}")),
    }
}

fn last_zone(zones: &[String]) -> Option<String> {
    let last = zones.last().filter(|last| last.starts_with("allow:"))?;
    Some(format!(
        "{:?} is the last one, and has no effect there: an allow-list only spares senders from the \
         zones behind it; write it first",
        mask(last)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_named_once_however_often_it_is_doubled() {
        assert_eq!(ports(&[25, 587]), Vec::<String>::new());
        let texts = ports(&[25, 22, 25, 25]);
        assert_eq!(texts.len(), 2, "{texts:?}");
        assert!(texts[0].starts_with("has 22, the port of SSH"), "{texts:?}");
        assert_eq!(texts[1], "names 25 more than once");
    }

    #[test]
    fn only_a_limit_below_the_ttl_is_short() {
        let of = |text: &str| short_limit(&Config::parse(text).unwrap_or_default());
        assert_eq!(of(""), None);
        assert_eq!(of("hard_limit = 0"), None);
        assert_eq!(of("ttl = \"1h\""), None);
        let text = of("ttl = \"2h\"").unwrap_or_default();
        assert!(text.starts_with("1h is less than `ttl` (2h), "), "{text}");
    }
}
