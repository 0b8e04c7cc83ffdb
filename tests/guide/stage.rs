//! A machine on which the documented commands are run.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use jiff::{SignedDuration, Timestamp};
use spamdrop_lab::dns::{DnsStub, Reply, Rtype};
use spamdrop_lab::wait::until;
use spamdrop_lab::{Daemon, Signal, Site, many_sources};

/// The addresses that the documentation uses for senders.
const SENDERS: [&str; 2] = ["192.0.2.0/24", "203.0.113.0/24"];
/// In this time, the kernel sends a single SYN and does not repeat it yet.
const ONE_SYN: Duration = Duration::from_millis(300);
const SOON: Duration = Duration::from_secs(10);
/// The only listed sender, as its address is written in a query.
const LISTED: &str = "66.2.0.192";
const DAY: i64 = 24;

/// A server in namespaces of its own, with `spamdrop` on its path.
pub struct Stage {
    // Dropped before the site on which it runs.
    daemon: Option<Daemon>,
    blocklist: Option<DnsStub>,
    site: Site<TcpListener>,
    /// Lines of the configuration besides the site's own.
    configuration: Vec<String>,
}

impl Stage {
    pub fn new() -> Result<Self> {
        let program = Path::new(env!("CARGO_BIN_EXE_spamdrop"));
        let site = Site::with_listener(program)?;
        for prefix in SENDERS {
            many_sources(&site.world, &site.server, prefix, "198.51.100.1".parse()?)?;
        }
        let bin = site.path("bin");
        fs::create_dir(&bin)?;
        let config = site.path("spamdrop.toml");
        let script = format!(
            "#!/bin/sh\nexec '{}' --config '{}' \"$@\"\n",
            program.display(),
            config.display()
        );
        fs::write(bin.join("spamdrop"), script)?;
        fs::set_permissions(bin.join("spamdrop"), fs::Permissions::from_mode(0o755))?;
        Ok(Self {
            daemon: None,
            blocklist: None,
            site,
            configuration: Vec::new(),
        })
    }

    /// Runs a command, which must succeed, and returns all that it prints.
    pub fn run(&mut self, command: &str) -> Result<String> {
        let command = self.local(command);
        if command.contains("spamdrop run") {
            return self.start(&command).map(|()| String::new());
        }
        let mut shell = self.site.server.command("sh");
        shell.args(["-c", &format!("exec 2>&1\n{command}")]);
        shell.env("PATH", self.path()).env("TZ", "UTC");
        shell.current_dir(self.site.path(""));
        shell.stdin(Stdio::null()).stdout(Stdio::piped());
        let output = self.site.server.spawn(&mut shell)?.wait_with_output()?;
        let printed = String::from_utf8(output.stdout)?;
        ensure!(
            output.status.success(),
            "`{command}`: {}\n{printed}",
            output.status
        );
        Ok(self.documented(&printed))
    }

    /// Does what a comment in the documentation requests.
    pub fn direct(&mut self, direction: &str) -> Result<()> {
        let (verb, rest) = direction.split_once(' ').unwrap_or((direction, ""));
        match (verb, rest) {
            ("attach", "") => self.attach(),
            ("daemon", "") => self.start("spamdrop run"),
            ("blocklist", "") => self.blocklist(),
            ("configure", line) => {
                self.configuration.push(line.into());
                self.configure()
            }
            ("line", message) => self.log(message, Timestamp::now()),
            ("accepted", rest) => self.accepted(rest),
            ("rejected", addr) => self.rejected(addr),
            ("knock", addr) => self.knock(addr),
            ("sealed", addr) => self.await_entry(addr, "sealed"),
            ("fifo", addr) => {
                self.run(&format!("echo +{addr} > /run/spamdrop/recent"))?;
                self.await_entry(addr, "")
            }
            _ => bail!("no such direction"),
        }
    }

    /// Stops the daemon, if it runs, and attaches as `spamdrop attach` does.
    fn attach(&mut self) -> Result<()> {
        self.stop()?;
        self.site.spamdrop(&["attach", "eth0"]).map(drop)
    }

    fn start(&mut self, command: &str) -> Result<()> {
        self.stop()?;
        let command = format!("exec env {command}");
        let environment = [("PATH", self.path()), ("TZ", "UTC".into())];
        let daemon = Daemon::start(&self.site.server, "sh", ["-c", &command], environment)?;
        daemon.wait_for(|line| line.contains("ready: "), SOON)?;
        self.daemon = Some(daemon);
        Ok(())
    }

    fn stop(&mut self) -> Result<()> {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.signal(Signal::SIGTERM)?;
            daemon.exit_status(SOON)?;
        }
        Ok(())
    }

    /// Writes the configuration, and restarts a running daemon.
    fn configure(&mut self) -> Result<()> {
        self.site.configure(&self.configuration.join("\n"))?;
        if self.daemon.is_some() {
            self.start("spamdrop run")?;
        }
        Ok(())
    }

    /// Starts a name server with one listed sender and one mail server's name,
    /// and configures its zone.
    fn blocklist(&mut self) -> Result<()> {
        const FRIEND: &str = "mx.friend.example";
        let stub = DnsStub::start(
            &self.site.server,
            (Ipv4Addr::LOCALHOST, 0).into(),
            |name, kind| match (name.strip_suffix(".b.example"), kind) {
                (Some(LISTED | "2.0.0.127"), Rtype::A) => Reply::a([127, 0, 0, 4]),
                (Some(LISTED | "2.0.0.127"), Rtype::TXT) => Reply::txt("Listed, see b.example"),
                _ => match (name, kind) {
                    ("25.2.0.192.in-addr.arpa", Rtype::PTR) => Reply::ptr(FRIEND),
                    (FRIEND, Rtype::A) => Reply::a([192, 0, 2, 25]),
                    _ => Reply::Absent(300),
                },
            },
        )?;
        let resolv_conf = self.site.path("resolv.conf");
        fs::write(&resolv_conf, format!("nameserver {}\n", stub.addr()))?;
        self.blocklist = Some(stub);
        self.configuration
            .push("zones = [\"b.example,BLOCK,*\"]".into());
        self.configuration
            .push(format!("resolv_conf = {resolv_conf:?}"));
        self.configure()
    }

    /// `ADDR NUMBER`: logs NUMBER accepted messages from ADDR, the last one
    /// yesterday and the others on the day before.
    fn accepted(&self, rest: &str) -> Result<()> {
        let (addr, number) = rest.split_once(' ').context("no number")?;
        let number: i64 = number.parse()?;
        for left in (0..number).rev() {
            let days = if left == 0 { 1 } else { 2 };
            let ago = SignedDuration::from_hours(days * DAY) + SignedDuration::from_secs(10 * left);
            let message = format!(
                "courierd: newmsg,id=0001.1: dns; mail.example (mail.example [::ffff:{addr}])"
            );
            self.log(&message, Timestamp::now() - ago)?;
        }
        Ok(())
    }

    fn rejected(&mut self, addr: &str) -> Result<()> {
        let message = format!(
            "courieresmtpd: error,relay=::ffff:{addr},port=4711,from=<a@b.example>,\
             to=<c@d.example>: 511 Blacklisted by b.example"
        );
        self.log(&message, Timestamp::now())?;
        self.await_entry(addr, "")
    }

    /// Sends one SYN of a blocked sender, which extends its block. Waits before that,
    /// because the filter stores an expiry only if it moves by a second or more.
    fn knock(&self, addr: &str) -> Result<()> {
        until("the expiry to be a second old", SOON, || {
            let shown = self.site.spamdrop(&["show", addr, "--json"])?;
            let shown: serde_json::Value = serde_json::from_str(&shown)?;
            let left = shown
                .pointer("/entries/0/expires_in_s")
                .and_then(|left| left.as_f64());
            Ok((left.context("it is not blocked")? < 598.5).then_some(()))
        })?;
        ensure!(self.site.dropped(addr, ONE_SYN)?, "{addr} is not blocked");
        Ok(())
    }

    fn log(&self, message: &str, at: Timestamp) -> Result<()> {
        self.site.log(&format!(
            "{} mx1 {message}",
            at.strftime("%Y-%m-%dT%H:%M:%SZ")
        ))
    }

    /// Waits for an entry in this state; an empty `state` matches any.
    fn await_entry(&self, addr: &str, state: &str) -> Result<()> {
        until(&format!("{addr} to be blocked"), SOON, || {
            let shown = self.site.output(&["show", addr], b"")?;
            let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
            let is_there = shown.contains("is blocked") && shown.contains(state);
            Ok(is_there.then_some(()))
        })
    }

    fn path(&self) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        format!("{}:{path}:/usr/sbin:/sbin", self.site.path("bin").display())
    }

    /// The documented paths, and the paths that replace them here.
    fn places(&self) -> [(&'static str, String); 2] {
        [
            ("/var/log/mail.log", "mail.log"),
            ("/etc/spamdrop/spamdrop.toml", "spamdrop.toml"),
        ]
        .map(|(documented, here)| (documented, self.site.path(here).display().to_string()))
    }

    fn local(&self, command: &str) -> String {
        let replace = |command: String, (documented, here): &(&str, String)| {
            command.replace(documented, here)
        };
        self.places().iter().fold(command.to_owned(), replace)
    }

    fn documented(&self, printed: &str) -> String {
        let replace = |printed: String, (documented, here): &(&str, String)| {
            printed.replace(here, documented)
        };
        self.places().iter().fold(printed.to_owned(), replace)
    }
}
