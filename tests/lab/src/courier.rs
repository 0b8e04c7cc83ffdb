//! A real Courier: Debian's courier-mta.

use std::path::Path;

use anyhow::Result;

pub use crate::debian::{Options, list};
use crate::debian::{Script, Stage, children, comm, delivered};
use crate::host::Host;

/// A running Courier on port 25 of a host, IPv4 and IPv6. Dropping it kills it
/// and all processes that it started.
///
/// It accepts mail for `postbox@here.example`, and for `forward@here.example`,
/// which it forwards to 100.64.1.1 as `friend@there.example`. It resolves only
/// `friend.example`, `zombie.example` and its blocklist, `zone.example`.
pub struct Courier(Stage);

impl Courier {
    /// Starts Courier, which logs to `mail.log` in `directory`. Returns when it
    /// listens.
    ///
    /// # Errors
    ///
    /// The packages are missing, or a process did not start; the error contains
    /// its output.
    pub fn start(host: &Host, directory: &Path, options: &Options) -> Result<Self> {
        let script = Script {
            text: concat!(
                include_str!("debian/stage.sh"),
                include_str!("courier/start.sh")
            ),
            unit: "courier-mta.service",
            env: &[("SERVER", Path::new(""))],
        };
        Ok(Self(Stage::start(host, directory, &script, options)?))
    }

    /// The words to put before a command, so that it runs with the files and the
    /// `/dev/log` of the server.
    #[must_use]
    pub fn entrance(&self) -> Vec<String> {
        self.0.entrance()
    }

    /// The number of slots in use.
    ///
    /// # Errors
    ///
    /// `/proc` cannot be read.
    pub fn sessions(&self) -> Result<usize> {
        // couriertcpd is a child of the process `init`, and forks for each session.
        let mut sessions = 0;
        for pid in children(self.0.init)? {
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
        delivered(host)
    }

    /// The output of Courier, rbldnsd and rsyslogd.
    #[must_use]
    pub fn output(&self) -> String {
        self.0.daemon.output()
    }
}
