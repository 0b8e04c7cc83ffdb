//! fail2ban, with the action that writes to xt_recent's list.

use std::path::Path;

use anyhow::Result;
use spamdrop_lab::{Daemon, Host, fail2ban};

/// Debian's filter for Courier, adapted to 511 replies.
const FILTER: &str = "[Definition]
failregex = ^[^:]*: 511\\s
";

/// Starts fail2ban on `host`, and returns when it watches `log`.
///
/// # Errors
///
/// The package is not unpacked, or fail2ban did not start; the error contains
/// its output.
pub fn start(host: &Host, log: &Path) -> Result<Daemon> {
    let filter = ("filter.d/courier-smtp.local", FILTER.to_owned());
    fail2ban::start(host, "courier", &jail(log), "None", &[filter])
}

fn jail(log: &Path) -> String {
    format!(
        "[courier]
enabled = true
filter = courier-smtp
logpath = {}
backend = pyinotify
maxretry = 1
findtime = 600
bantime = 600
ignoreself = false
usedns = no
action = iptables-xt_recent-echo[name=courier, iptables=iptables-legacy -w]
",
        log.display()
    )
}
