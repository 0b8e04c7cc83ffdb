//! The host of a mail server and spamdrop, and a host from which all clients connect.

mod container;
mod real;

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::client::{Client, syn_dropped};
use crate::daemon::Daemon;
use crate::debian::Software;
use crate::host::Host;
use crate::smtpd::{Options, Smtpd};
use crate::wire::{End, many_sources, wire};
use container::connect_by_nat;
pub use real::Found;

/// The server's IPv4 address.
pub const SERVER4: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 25);
/// The server's IPv6 address.
pub const SERVER6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x25, 0, 0, 0, 0, 0x25);
/// The addresses of the server's interface.
pub const SERVER_ADDRESSES: [&str; 2] = ["198.51.100.25/24", "2001:db8:25::25/64"];
/// The addresses of the world's interface, which is connected to the server's.
pub const WORLD_ADDRESSES: [&str; 2] = ["198.51.100.1/24", "2001:db8:25::1/64"];
/// The client addresses: any address of this prefix can connect.
pub const WORLD4: &str = "100.64.0.0/10";
/// The IPv6 client addresses.
pub const WORLD6: &str = "2001:db8:64::/48";

/// An account that every machine has, for a daemon without root's rights.
pub const ORDINARY: &str = "nobody";

const TIMEOUT: Duration = Duration::from_secs(10);
const READY_WITHIN: Duration = Duration::from_secs(30);

/// Two hosts, an SMTP server on one of them, and files in a directory that is
/// removed with the value.
pub struct Site<S = Smtpd> {
    /// The SMTP server.
    pub smtpd: S,
    /// The host of the server and spamdrop.
    pub server: Host,
    /// The host of the clients.
    pub world: Host,
    /// The server's interface that is to have the filter.
    interface: String,
    /// The account of the daemon; if it is empty, spamdrop's default.
    user: &'static str,
    /// The server if it is not Courier.
    software: Option<Software>,
    /// The line of the configuration that says where the log is, if it is not
    /// in `mail.log`.
    source: Option<&'static str>,
    /// The words to put before a command, so that it sees the server's files.
    entrance: Vec<String>,
    dir: TempDir,
    spamdrop: PathBuf,
}

impl Site {
    /// Builds the site with a miniature server. `spamdrop` is the path of the
    /// program; `change` may alter the server's options.
    ///
    /// # Errors
    ///
    /// A host, the wire or the server could not be created.
    pub fn new(spamdrop: &Path, change: impl FnOnce(&mut Options)) -> Result<Self> {
        Self::build(spamdrop, smtpd(change))
    }

    /// Builds the site with the server in a container, whose host has a private
    /// address. The returned host is the router between the container and the
    /// clients; it forwards port 25 of [`SERVER4`] to the container (DNAT).
    ///
    /// # Errors
    ///
    /// As [`Site::new`].
    pub fn in_container(spamdrop: &Path) -> Result<(Self, Host)> {
        let (server, world) = (Host::new("container")?, Host::new("world")?);
        let router = connect_by_nat(&server, &world)?;
        let site = Self::assemble(server, world, spamdrop, smtpd(|_| {}))?;
        Ok((site, router))
    }

    /// Puts an address or prefix on the SMTP server's DNS blocklist.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn blacklist(&self, source: &str) -> Result<()> {
        append(&self.path("listed"), source)
    }
}

impl Site<TcpListener> {
    /// Builds the site with a server that listens, but never calls `accept()`.
    ///
    /// # Errors
    ///
    /// As [`Site::new`].
    pub fn with_listener(spamdrop: &Path) -> Result<Self> {
        Self::build(spamdrop, listen)
    }

    /// Builds the site on two hosts whose interfaces have their addresses
    /// already, [`SERVER_ADDRESSES`] and [`WORLD_ADDRESSES`]. The server is that
    /// of [`Site::with_listener`]. The filter is for `interface`.
    ///
    /// # Errors
    ///
    /// As [`Site::new`].
    pub fn over(spamdrop: &Path, server: Host, world: Host, interface: &str) -> Result<Self> {
        let mut site = Self::route(server, world, spamdrop, listen)?;
        site.interface = interface.to_owned();
        site.configure("")?;
        Ok(site)
    }
}

fn listen(server: &Host, _: &Path) -> Result<TcpListener> {
    let listen = || TcpListener::bind((SERVER4, 25));
    server.run(listen).context("listen on port 25")
}

impl<S> Site<S> {
    fn build(spamdrop: &Path, serve: impl FnOnce(&Host, &Path) -> Result<S>) -> Result<Self> {
        let (server, world) = (Host::new("server")?, Host::new("world")?);
        let end = |host, addresses| End {
            host,
            interface: "eth0",
            addresses,
        };
        wire(
            &end(&server, &SERVER_ADDRESSES),
            &end(&world, &WORLD_ADDRESSES),
            1500,
        )?;
        Self::route(server, world, spamdrop, serve)
    }

    /// Gives the world the client addresses; both hosts have an interface already.
    fn route(
        server: Host,
        world: Host,
        spamdrop: &Path,
        serve: impl FnOnce(&Host, &Path) -> Result<S>,
    ) -> Result<Self> {
        many_sources(&world, &server, WORLD4, "198.51.100.1".parse()?)?;
        many_sources(&world, &server, WORLD6, "2001:db8:25::1".parse()?)?;
        Self::assemble(server, world, spamdrop, serve)
    }

    fn assemble(
        server: Host,
        world: Host,
        spamdrop: &Path,
        serve: impl FnOnce(&Host, &Path) -> Result<S>,
    ) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        // The daemon's account reads the log in this directory.
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        fs::write(dir.path().join("mail.log"), "")?;
        let site = Self {
            smtpd: serve(&server, dir.path())?,
            server,
            world,
            interface: "eth0".to_owned(),
            user: "",
            software: None,
            source: None,
            entrance: Vec::new(),
            dir,
            spamdrop: spamdrop.into(),
        };
        site.configure("")?;
        Ok(site)
    }

    /// A file of the site, such as `mail.log`.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes spamdrop's configuration: the settings that the site needs, and
    /// `more`. The number of slots is 40, unless the server's settings or `more` tell it.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn configure(&self, more: &str) -> Result<()> {
        let path = |name| self.path(name).display().to_string();
        let tells_slots = self.path("courier/esmtpd").exists() || more.contains("slots");
        let slots = match self.software {
            // `spamdrop settings --write` has written its number of slots.
            Some(software) => format!("servers = [{:?}]\n", software.name()),
            None if tells_slots => String::new(),
            None => "slots = 40\n".to_owned(),
        };
        let user = match self.user {
            "" => String::new(),
            user => format!("user = {user:?}\n"),
        };
        let source = match self.source {
            Some(line) => line.to_owned(),
            None => format!("logs = [{:?}]", path("mail.log")),
        };
        let text = format!(
            "interfaces = [{:?}]\n{source}\nallow_file = {:?}\nstate_dir = {:?}\n\
             courier_dir = {:?}\n{user}{slots}{more}\n",
            self.interface,
            path("allow"),
            path("state"),
            path("courier"),
        );
        Ok(fs::write(self.path("spamdrop.toml"), text)?)
    }

    /// Starts `spamdrop run` and waits until it is ready.
    ///
    /// # Errors
    ///
    /// The daemon did not become ready; the error contains its output.
    pub fn run(&self) -> Result<Daemon> {
        self.run_with(&[])
    }

    /// Does the same as [`Site::run`], with flags.
    ///
    /// # Errors
    ///
    /// As [`Site::run`].
    pub fn run_with(&self, flags: &[&str]) -> Result<Daemon> {
        self.run_logging("spamdrop=debug", flags)
    }

    /// Does the same as [`Site::run`], with flags and a filter for the daemon's
    /// log, as in `RUST_LOG`.
    ///
    /// # Errors
    ///
    /// As [`Site::run`].
    pub fn run_logging(&self, filter: &str, flags: &[&str]) -> Result<Daemon> {
        let words = self.words(&[&["run"], flags].concat());
        let env = [("RUST_LOG", filter)];
        let daemon = Daemon::start(&self.server, &words[0], &words[1..], env)?;
        daemon.wait_for(|line| line.contains("ready: "), READY_WITHIN)?;
        if !self.user.is_empty() {
            daemon.ensure_not_root()?;
        }
        Ok(daemon)
    }

    /// The program and the arguments with which the host starts a spamdrop command.
    fn words(&self, args: &[&str]) -> Vec<OsString> {
        let mut words: Vec<OsString> = self.entrance.iter().map(Into::into).collect();
        words.extend([self.spamdrop.clone().into(), "--config".into()]);
        words.push(self.path("spamdrop.toml").into());
        words.extend(args.iter().map(Into::into));
        words
    }

    /// Runs a spamdrop command to its end and returns its status and output.
    ///
    /// # Errors
    ///
    /// The command could not be started.
    pub fn output(&self, args: &[&str], input: &[u8]) -> Result<Output> {
        let words = self.words(args);
        let mut command = self.server.command(&words[0]);
        command
            .args(&words[1..])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.server.spawn(&mut command)?;
        let stdin = child.stdin.take().context("standard input is piped")?;
        let output = std::thread::scope(|scope| {
            // The command may end without reading all of its input.
            scope.spawn(move || (&stdin).write_all(input));
            child.wait_with_output()
        });
        Ok(output?)
    }

    /// Runs a spamdrop command and returns its standard output.
    ///
    /// # Errors
    ///
    /// The command failed; the error contains its standard error.
    pub fn spamdrop(&self, args: &[&str]) -> Result<String> {
        let output = self.output(args, b"")?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            bail!(
                "spamdrop {}: {}: {}",
                args.join(" "),
                output.status,
                stderr.trim_end()
            );
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The output of `spamdrop status` with these options. It also succeeds
    /// while the protection is degraded.
    pub fn status(&self, options: &[&str]) -> Result<String> {
        let output = self.output(&[&["status"], options].concat(), b"")?;
        ensure!(
            matches!(output.status.code(), Some(0 | 1)),
            "spamdrop status: {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The addresses and prefixes that `spamdrop list` shows.
    ///
    /// # Errors
    ///
    /// As [`Site::spamdrop`].
    pub fn listed(&self) -> Result<Vec<String>> {
        let table = self.spamdrop(&["list"])?;
        let mut rows: Vec<&str> = table.lines().skip(1).collect();
        // The last line is the number of entries.
        rows.pop();
        let addr = |row: &&str| row.split(' ').next().map(str::to_owned);
        Ok(rows.iter().filter_map(addr).collect())
    }

    /// Appends a line to the mail log.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub fn log(&self, line: &str) -> Result<()> {
        append(&self.path("mail.log"), line)
    }

    /// Connects from a client address, without reading the banner.
    ///
    /// # Errors
    ///
    /// As [`Client::connect`].
    pub fn connect(&self, source: &str) -> Result<Client> {
        let source: IpAddr = source.parse()?;
        Client::connect(&self.world, Some(source), dest(source), TIMEOUT)
            .with_context(|| format!("connect from {source}"))
    }

    /// Sends SYNs from a client address. Returns whether they get no answer within
    /// `wait`.
    ///
    /// # Errors
    ///
    /// As [`syn_dropped`].
    pub fn dropped(&self, source: &str, wait: Duration) -> Result<bool> {
        let source: IpAddr = source.parse()?;
        Ok(syn_dropped(&self.world, Some(source), dest(source), wait)?)
    }
}

fn smtpd(change: impl FnOnce(&mut Options)) -> impl FnOnce(&Host, &Path) -> Result<Smtpd> {
    |server, dir| {
        let mut options = Options::new(dir.join("mail.log"), dir.join("listed"));
        change(&mut options);
        Smtpd::start(server, &crate::binary("lab-smtpd")?, &options)
    }
}

/// The server's address of the same family as `source`.
#[must_use]
pub fn dest(source: IpAddr) -> SocketAddr {
    let addr: IpAddr = if source.is_ipv4() {
        SERVER4.into()
    } else {
        SERVER6.into()
    };
    SocketAddr::new(addr, 25)
}

fn append(path: &Path, line: &str) -> Result<()> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).create(true).open(path)?;
        file.write_all(format!("{line}\n").as_bytes())
    };
    write().with_context(|| format!("append to {}", path.display()))
}
