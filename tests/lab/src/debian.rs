//! Debian's mail servers, with rbldnsd as their DNS blocklist, and rsyslog or
//! journald for their log.
//!
//! The packages are unpacked into the target directory, not installed, because
//! installing them would remove the machine's own mail server. `cargo xtask
//! setup --tests` unpacks them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::daemon::Daemon;
use crate::host::Host;
use crate::journald::Journald;
use crate::{debian_tree, debian_tree_of};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// The settings that a test may change.
#[derive(Clone, Debug)]
pub struct Options {
    /// Courier's `TARPIT`: whether it sleeps 8 s or more before each 5xx. The default
    /// is off; in Debian's configuration, it is on. Postfix and Exim have no tarpit.
    pub tarpit: bool,
    /// Number of simultaneous sessions: Courier's `MAXDAEMONS`, the process
    /// limit of Postfix's `smtpd`, or `postscreen_pre_queue_limit`, or Exim's
    /// `smtp_accept_max`. 40 in Debian's configuration of Courier.
    pub slots: u16,
    /// Postfix's `postscreen_greet_wait`, in seconds: how long `postscreen` waits for
    /// the blocklist's answer, and for a client that talks before the greeting. 6 in
    /// Postfix's configuration.
    pub greet_wait: u8,
    /// The listed IPv4 addresses and prefixes.
    pub listed4: Vec<String>,
    /// The listed IPv6 addresses and prefixes.
    pub listed6: Vec<String>,
    /// The blocklist's answer: an address and a text, in which `$` stands for
    /// the queried address.
    pub answer: (String, String),
    /// Whether Postfix or Exim is set to offer AUTH on port 25.
    pub auth: bool,
    /// Whether the server logs to journald instead of rsyslog. It is then in a control
    /// group with the name of the unit in which Debian starts it.
    pub journal: bool,
    /// Whether the server has the configuration that its package installs. It
    /// asks no blocklist then, and has the package's number of slots.
    pub as_installed: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tarpit: false,
            slots: 40,
            greet_wait: 1,
            listed4: Vec::new(),
            listed6: Vec::new(),
            answer: (
                "127.0.0.2".into(),
                "Listed, see https://zone.example/$".into(),
            ),
            auth: false,
            journal: false,
            as_installed: false,
        }
    }
}

/// One of Debian's mail servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Software {
    /// Postfix whose `smtpd` listens and asks the blocklist.
    Postfix,
    /// Postfix whose `postscreen` listens and asks the blocklist.
    Postscreen,
    /// Exim.
    Exim,
}

impl Software {
    /// The server's name in the setting `servers`, which is also the name of the
    /// directory of its unpacked packages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Postfix | Self::Postscreen => "postfix",
            Self::Exim => "exim",
        }
    }

    /// The unit in which Debian starts the server. Debian 12 and 13 name that of Postfix
    /// differently; here, smtpd has the name of Debian 13, and postscreen that of 12.
    fn unit(self) -> &'static str {
        match self {
            Self::Postfix => "postfix.service",
            Self::Postscreen => "postfix@-.service",
            Self::Exim => "exim4.service",
        }
    }

    fn script(self) -> &'static str {
        match self {
            Self::Postfix | Self::Postscreen => {
                concat!(
                    include_str!("debian/stage.sh"),
                    include_str!("debian/postfix.sh")
                )
            }
            Self::Exim => concat!(
                include_str!("debian/stage.sh"),
                include_str!("debian/exim.sh")
            ),
        }
    }
}

/// A running Postfix or Exim on port 25 of a host, IPv4 and IPv6. Dropping it
/// kills it and all processes that it started.
///
/// It accepts the mail that [`Courier`](crate::Courier) accepts.
pub struct Packaged {
    stage: Stage,
    software: Software,
    log: PathBuf,
}

impl Packaged {
    /// Starts the server, which logs to `mail.log` in `directory`. Returns when
    /// it listens.
    ///
    /// # Errors
    ///
    /// The packages are missing, or a process did not start; the error contains
    /// its output.
    pub fn start(
        host: &Host,
        directory: &Path,
        software: Software,
        options: &Options,
    ) -> Result<Self> {
        let tree = debian_tree_of(software.name())?;
        let postscreen = u8::from(software == Software::Postscreen).to_string();
        let script = Script {
            text: software.script(),
            unit: software.unit(),
            env: &[
                ("SERVER", tree.as_path()),
                ("POSTSCREEN", postscreen.as_ref()),
            ],
        };
        Ok(Self {
            stage: Stage::start(host, directory, &script, options)?,
            software,
            log: directory.join("mail.log"),
        })
    }

    /// The words to put before a command, so that it runs with the files and the
    /// `/dev/log` of the server.
    #[must_use]
    pub fn entrance(&self) -> Vec<String> {
        self.stage.entrance()
    }

    /// The log, of rsyslog or journald.
    ///
    /// # Errors
    ///
    /// It cannot be read.
    pub fn log(&self, host: &Host) -> Result<String> {
        match &self.stage.journald {
            Some(_) => host.exec(["journalctl", "--quiet", "--all"]),
            None => Ok(fs::read_to_string(&self.log)?),
        }
    }

    /// The number of sessions. Exim has a process for each session, and Postfix logs the
    /// start and the end of each.
    ///
    /// # Errors
    ///
    /// `/proc` or the log cannot be read.
    pub fn sessions(&self, host: &Host) -> Result<usize> {
        if self.software != Software::Exim {
            return Ok(open_sessions(&self.log(host)?));
        }
        // The oldest process of Exim accepts the connections.
        let mut processes = children(self.stage.init)?.into_iter();
        let daemon = processes.find(|pid| comm(*pid) == "exim4");
        Ok(children(daemon.context("Exim does not run")?)?.len())
    }

    /// The number of delivered messages.
    ///
    /// # Errors
    ///
    /// The mailbox cannot be read.
    pub fn delivered(&self, host: &Host) -> Result<usize> {
        delivered(host)
    }

    /// The output of the server, rbldnsd and rsyslogd.
    #[must_use]
    pub fn output(&self) -> String {
        self.stage.daemon.output()
    }
}

/// The number of sessions of postscreen and smtpd that have started and not ended,
/// according to the log. A session that postscreen passes to smtpd ends and starts again.
fn open_sessions(log: &str) -> usize {
    const STARTS: [&str; 2] = [": CONNECT from ", ": connect from "];
    const ENDS: [&str; 4] = [
        ": DISCONNECT ",
        ": PASS NEW ",
        ": PASS OLD ",
        ": disconnect from ",
    ];
    let count = |words: &[&str]| {
        let is_one = |line: &&str| words.iter().any(|word| line.contains(word));
        log.lines().filter(is_one).count()
    };
    count(&STARTS).saturating_sub(count(&ENDS))
}

/// A shell script that starts a mail server, and its settings.
pub(crate) struct Script<'a> {
    pub text: &'a str,
    /// The unit in which Debian starts the server.
    pub unit: &'a str,
    /// Environment variables of the script, in addition to those from [`Options`].
    /// `SERVER` is the directory of the server's packages if they are unpacked apart,
    /// or else empty.
    pub env: &'a [(&'a str, &'a Path)],
}

/// The processes of a mail server, its blocklist and its syslog.
pub(crate) struct Stage {
    pub daemon: Daemon,
    /// The process that has id 1 in their namespace, by its id on the machine.
    pub init: u32,
    /// The last field, so that it is dropped after the processes in its units have ended.
    journald: Option<Journald>,
}

impl Stage {
    /// Starts the script in namespaces of its own. Returns when it reports that the
    /// server listens.
    pub fn start(
        host: &Host,
        directory: &Path,
        script: &Script<'_>,
        options: &Options,
    ) -> Result<Self> {
        let tree = debian_tree()?;
        list(host, options)?;
        let journald = options.journal.then(|| Journald::start(host)).transpose()?;
        let unit = journald.as_ref().map(|it| it.processes_of(script.unit));
        let unit = unit.transpose()?.unwrap_or_default();
        let slots = options.slots.to_string();
        let greet_wait = options.greet_wait.to_string();
        let switch = |is_on| if is_on { "1" } else { "0" };
        let common = [
            ("PATH", Path::new("/usr/sbin:/usr/bin:/sbin:/bin")),
            ("TREE", &tree),
            ("SITE", directory),
            ("UNIT", &unit),
            ("SLOTS", slots.as_ref()),
            ("GREET_WAIT", greet_wait.as_ref()),
            ("TARPIT", switch(options.tarpit).as_ref()),
            ("AUTH", switch(options.auth).as_ref()),
            ("AS_INSTALLED", switch(options.as_installed).as_ref()),
        ];
        let args = [
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
            script.text,
        ];
        let env = common.iter().chain(script.env).copied();
        let daemon = Daemon::start(host, "unshare", args, env)?;
        daemon
            .wait_for(|line| line == "ready", READY_WITHIN)
            .context("start the mail server")?;
        let init = children(daemon.pid())?;
        let init = *init.first().context("unshare has no child")?;
        Ok(Self {
            daemon,
            init,
            journald,
        })
    }

    /// The words to put before a command, so that it runs in the server's mount
    /// namespace. It has the process id with which the words were started, and its
    /// `/proc` shows all processes of the machine.
    pub fn entrance(&self) -> Vec<String> {
        let init = self.init.to_string();
        let words = [
            "nsenter",
            "--target",
            &init,
            "--mount",
            "--",
            "unshare",
            "--mount",
            "sh",
            "-c",
            "mount -t proc proc /proc && exec \"$@\"",
            "sh",
        ];
        words.map(str::to_owned).into()
    }
}

/// Writes the blocklist. A running rbldnsd reads it within about a second.
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
    // The zones `friend.example` and `zombie.example`: Courier looks up the domain of
    // each sender's mail address.
    fs::write(directory.join("names"), "@ A 192.0.2.1\n")?;
    Ok(())
}

/// The number of messages in the mailbox of `postbox@here.example`.
pub(crate) fn delivered(host: &Host) -> Result<usize> {
    host.run(|| Ok(fs::read_dir("/run/postbox/Maildir/new")?.count()))
}

/// The children of a process, oldest first.
pub(crate) fn children(pid: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let pids = fs::read_to_string(&path).context(path)?;
    let pids = pids.split_ascii_whitespace().map(str::parse);
    Ok(pids.collect::<Result<_, _>>()?)
}

/// The name of a process; empty if the process has just ended.
pub(crate) fn comm(pid: u32) -> String {
    let comm = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    comm.trim_end().to_owned()
}
