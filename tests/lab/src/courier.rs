//! A real Courier: Debian's courier-mta, with rbldnsd as its DNS blocklist and
//! rsyslog for its log.
//!
//! The packages are unpacked into the target directory, not installed, because
//! installing them would remove the machine's own mail server. `cargo xtask
//! setup` unpacks them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::daemon::Daemon;
use crate::debian_tree;
use crate::host::Host;

const READY_WITHIN: Duration = Duration::from_secs(30);

/// The settings that a test may change.
#[derive(Clone, Debug)]
pub struct Options {
    /// `TARPIT`: whether Courier sleeps 8 s or more before each 5xx. On in
    /// Debian's configuration, off here.
    pub tarpit: bool,
    /// `MAXDAEMONS`: number of simultaneous sessions; further connections wait.
    /// 40 in Debian's configuration.
    pub slots: u16,
    /// The listed IPv4 addresses and prefixes.
    pub listed4: Vec<String>,
    /// The listed IPv6 addresses and prefixes.
    pub listed6: Vec<String>,
    /// The blocklist's answer: an address and a text, in which `$` stands for
    /// the queried address.
    pub answer: (String, String),
}

/// A running Courier on port 25 of a host, IPv4 and IPv6. Dropping it kills it
/// and all processes that it started.
///
/// It accepts mail for `postbox@here.example`, and for `forward@here.example`,
/// which it forwards to 100.64.1.1 as `friend@there.example`. It resolves only
/// `friend.example`, `zombie.example` and its blocklist, `zone.example`.
pub struct Courier {
    daemon: Daemon,
    init: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tarpit: false,
            slots: 40,
            listed4: Vec::new(),
            listed6: Vec::new(),
            answer: (
                "127.0.0.2".into(),
                "Listed, see https://zone.example/$".into(),
            ),
        }
    }
}

impl Courier {
    /// Starts Courier, which logs to `mail.log` in `directory`. Returns when it
    /// listens.
    ///
    /// # Errors
    ///
    /// The packages are missing, or a process did not start; the error contains
    /// its output.
    pub fn start(host: &Host, directory: &Path, options: &Options) -> Result<Self> {
        let tree = debian_tree()?;
        list(host, options)?;
        let tarpit = u8::from(options.tarpit).to_string();
        let slots = options.slots.to_string();
        let env = [
            ("PATH", Path::new("/usr/sbin:/usr/bin:/sbin:/bin")),
            ("TREE", &tree),
            ("SITE", directory),
            ("TARPIT", tarpit.as_ref()),
            ("MAXDAEMONS", slots.as_ref()),
        ];
        let args = [
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
            include_str!("courier/start.sh"),
        ];
        let daemon = Daemon::start(host, "unshare", args, env)?;
        daemon
            .wait_for(|line| line == "ready", READY_WITHIN)
            .context("start Courier")?;
        let init = children(daemon.pid())?;
        let init = *init.first().context("unshare has no child")?;
        Ok(Self { daemon, init })
    }

    /// The number of taken slots.
    ///
    /// # Errors
    ///
    /// `/proc` cannot be read.
    pub fn sessions(&self) -> Result<usize> {
        // couriertcpd is a child of init and forks for each session.
        let mut sessions = 0;
        for pid in children(self.init)? {
            if comm(pid) == "couriertcpd" {
                sessions += children(pid)?.len();
            }
        }
        Ok(sessions)
    }

    /// The number of delivered messages.
    ///
    /// # Errors
    ///
    /// The mailbox cannot be read.
    pub fn delivered(&self, host: &Host) -> Result<usize> {
        host.run(|| Ok(fs::read_dir("/run/postbox/Maildir/new")?.count()))
    }

    /// The error output of Courier and its companions.
    #[must_use]
    pub fn output(&self) -> String {
        self.daemon.output()
    }
}

/// Changes the blocklist of a running Courier, within about a second.
///
/// # Errors
///
/// The zone files cannot be written.
pub fn list(host: &Host, options: &Options) -> Result<()> {
    let options = options.clone();
    host.run(move || write_zones(&options))
}

/// Writes the zone files.
fn write_zones(options: &Options) -> Result<()> {
    let directory = Path::new("/run/zones");
    fs::create_dir_all(directory)?;
    let (address, text) = &options.answer;
    for (name, listed) in [("ip4", &options.listed4), ("ip6", &options.listed6)] {
        let zone = format!(":{address}:{text}\n{}\n", listed.join("\n"));
        fs::write(directory.join(name), zone)?;
    }
    // Courier looks up the domain of each sender.
    fs::write(directory.join("names"), "@ A 192.0.2.1\n")?;
    Ok(())
}

fn children(pid: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let pids = fs::read_to_string(&path).context(path)?;
    let pids = pids.split_ascii_whitespace().map(str::parse);
    Ok(pids.collect::<Result<_, _>>()?)
}

/// The name of a process; empty if the process has just ended.
fn comm(pid: u32) -> String {
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    comm.trim_end().to_owned()
}
