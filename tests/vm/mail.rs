//! A mail server with the filter on its link, observed from the world.

use std::net::{IpAddr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;
use spamdrop_lab::client::{socket, syn_dropped};
use spamdrop_lab::interfaces::ensure_true;
use spamdrop_lab::site::{WORLD4, WORLD6, dest};
use spamdrop_lab::wait::until;
use spamdrop_lab::{Daemon, Host, Site};

use super::link::{Link, ip};

/// Maximum time until a SYN that passes is answered, with a repetition or two.
const ANSWERED_WITHIN: Duration = Duration::from_secs(7);
/// A SYN without an answer for this long was dropped, or its answer is late. The hits of
/// the source's entry show which.
const SILENT_FOR: Duration = Duration::from_millis(700);

const BLOCKED: [&str; 2] = ["100.64.0.66", "2001:db8:64:66::66"];
/// The entries of the blocked senders.
const ENTRIES: [&str; 2] = ["100.64.0.66", "2001:db8:64:66::/64"];
pub const CLEAN: [&str; 2] = ["100.64.0.77", "2001:db8:64:77::77"];

/// A site whose daemon is to filter one interface.
pub struct Mail {
    daemon: Option<Daemon>,
    _carriers: Vec<Daemon>,
    pub site: Site<TcpListener>,
    pub interface: &'static str,
}

pub fn program() -> PathBuf {
    std::env::current_exe().unwrap().with_file_name("spamdrop")
}

impl Mail {
    /// Makes the site without a filter, and checks that its link works.
    pub fn over(link: Link) -> Self {
        let Link {
            server,
            world,
            interface,
            carriers,
        } = link;
        let mail = Self {
            daemon: None,
            _carriers: carriers,
            site: Site::over(&program(), server, world, interface).unwrap(),
            interface,
        };
        if mail.is_its_own_client() {
            for prefix in [WORLD4, WORLD6] {
                ip(
                    &mail.site.server,
                    &format!("route add local {prefix} dev lo"),
                );
            }
        }
        for source in BLOCKED {
            assert!(mail.reaches(source), "{source}, without a filter");
        }
        mail
    }

    /// Starts the daemon, blocks two senders, and compares their fate
    /// with the guide's row.
    pub fn ensure_row(&mut self, row: &str) {
        self.daemon = Some(self.site.run().unwrap());
        self.site
            .spamdrop(&["add", BLOCKED[0], BLOCKED[1]])
            .unwrap();
        let status = self.site.output(&["status"], b"").unwrap();
        let shown = String::from_utf8(status.stdout).unwrap();
        let health = format!("protecting {}, port 25: 2 blocked\n", self.interface);
        assert!(shown.starts_with(&health), "{shown}");
        assert_eq!(status.status.code(), Some(0), "{shown}");
        ensure_true(row, self.attached(), self.fate()).unwrap();
    }

    /// How the filter is attached, as `ip link` shows it.
    fn attached(&self) -> &'static str {
        let shown = self.links();
        match shown
            .split_whitespace()
            .find(|word| word.starts_with("xdp"))
        {
            Some("xdp") => "native",
            Some("xdpgeneric") => "generic",
            _ => panic!("{shown}"),
        }
    }

    /// The output of `ip link` for the interface.
    pub fn links(&self) -> String {
        let show = ["ip", "link", "show", self.interface];
        self.site.server.exec(show).unwrap()
    }

    fn fate(&self) -> &'static str {
        for source in CLEAN {
            assert!(self.reaches(source), "{source} is not blocked");
        }
        let are_reached = BLOCKED.map(|source| self.is_answered(source, SILENT_FOR));
        assert_eq!(are_reached[0], are_reached[1], "the families differ");
        let have_hits = self.hits().map(|hits| hits > 0);
        assert_eq!(have_hits, are_reached.map(|is_reached| !is_reached));
        if are_reached[0] { "passed" } else { "dropped" }
    }

    /// The packets that matched each blocked sender's entry.
    fn hits(&self) -> [u64; 2] {
        let listed = self.json(&["list", "--json"]);
        let listed = listed.as_array().unwrap();
        ENTRIES.map(|entry| {
            let found = listed.iter().find(|found| found["addr"] == entry);
            found.unwrap()["hits"].as_u64().unwrap()
        })
    }

    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.site.spamdrop(args).unwrap()).unwrap()
    }

    /// The daemon's output so far.
    pub fn log(&self) -> String {
        self.daemon.as_ref().map(Daemon::output).unwrap_or_default()
    }

    /// Whether the server answers a sender.
    pub fn reaches(&self, source: &str) -> bool {
        self.is_answered(source, ANSWERED_WITHIN)
    }

    fn is_answered(&self, source: &str, within: Duration) -> bool {
        let source: IpAddr = source.parse().unwrap();
        !syn_dropped(self.client(), Some(source), dest(source), within).unwrap()
    }

    fn client(&self) -> &Host {
        if self.is_its_own_client() {
            &self.site.server
        } else {
            &self.site.world
        }
    }

    fn is_its_own_client(&self) -> bool {
        self.interface == "lo"
    }

    /// Blocks 32 senders and sends a SYN from each. All SYNs must be dropped.
    pub fn knock_from_many(&self) {
        let senders: Vec<_> = (1..=32).map(|last| format!("100.64.1.{last}")).collect();
        let mut add = vec!["add"];
        add.extend(senders.iter().map(String::as_str));
        self.site.spamdrop(&add).unwrap();
        let before = self.dropped();
        for sender in &senders {
            let source: IpAddr = sender.parse().unwrap();
            let socket = socket(self.client(), Some(source), dest(source)).unwrap();
            socket.set_nonblocking(true).unwrap();
            socket.connect(&dest(source).into()).unwrap_err();
        }
        let are_dropped = || Ok((self.dropped() - before >= 32).then_some(()));
        until("32 dropped SYNs", ANSWERED_WITHIN, are_dropped).unwrap();
    }

    fn dropped(&self) -> u64 {
        self.json(&["stats", "--json"])["sealed_dropped"]
            .as_u64()
            .unwrap()
    }
}
