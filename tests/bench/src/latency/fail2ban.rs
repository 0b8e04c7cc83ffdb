//! fail2ban, with the action that writes to xt_recent's list.
//!
//! Debian's package is unpacked but not installed; it is mounted over the
//! machine's `/usr` in the host's own mount namespace.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use spamdrop_lab::{Daemon, Host, debian_tree};

const TREE: &str = "/run/tree";
const CONFIG: &str = "/run/fail2ban";
const READY_WITHIN: Duration = Duration::from_secs(20);

const SERVER: &str = "[Definition]
loglevel = INFO
logtarget = STDOUT
syslogsocket = auto
socket = /run/fail2ban/socket
pidfile = /run/fail2ban/pid
dbfile = None
dbpurgeage = 1d
allowipv6 = auto
";

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
    let tree = debian_tree()?;
    let layers = format!("lowerdir={TREE}/usr:/usr");
    host.exec(["mkdir", TREE, CONFIG])?;
    // Bound to a path without characters that are separators in mount options.
    host.exec(["mount", "--bind", &tree.to_string_lossy(), TREE])?;
    host.exec(["mount", "-t", "overlay", "overlay", "/usr", "-o", &layers])?;
    let jail = jail(log);
    host.run(move || configure(&jail))?;
    let args = ["-xf", "-c", CONFIG, "start"];
    let no_env: [(&str, &str); 0] = [];
    let daemon = Daemon::start(host, "fail2ban-server", args, no_env)?;
    daemon
        .wait_for(|line| line.contains("Jail 'courier' started"), READY_WITHIN)
        .context("start fail2ban")?;
    Ok(daemon)
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

fn configure(jail: &str) -> Result<()> {
    let (config, stock) = (Path::new(CONFIG), Path::new(TREE).join("etc/fail2ban"));
    fs::create_dir(config.join("filter.d"))?;
    for name in [
        "action.d",
        "filter.d/common.conf",
        "filter.d/courier-smtp.conf",
    ] {
        symlink(stock.join(name), config.join(name))?;
    }
    fs::write(config.join("fail2ban.conf"), SERVER)?;
    fs::write(config.join("filter.d/courier-smtp.local"), FILTER)?;
    fs::write(config.join("jail.conf"), jail)?;
    Ok(())
}
