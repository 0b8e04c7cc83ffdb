//! Sites with a real mail server.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};

use super::Site;
use crate::courier::{self, Courier};
use crate::debian::{self, Packaged, Software};

/// The account that spamdrop's package makes.
const ACCOUNT: &str = "spamdrop";

impl Site<Courier> {
    /// Builds the site with a real Courier. Every spamdrop command runs with the
    /// server's files. The daemon runs under the account that spamdrop's package makes.
    ///
    /// # Errors
    ///
    /// As [`Site::new`].
    pub fn with_courier(spamdrop: &Path, options: &courier::Options) -> Result<Self> {
        let mut site = Self::build(spamdrop, |server, dir| Courier::start(server, dir, options))?;
        site.user = ACCOUNT;
        site.entrance = site.smtpd.entrance();
        site.configure("")?;
        Ok(site)
    }
}

impl Site<Packaged> {
    /// Builds the site with a real Postfix or Exim, as [`Site::with_courier`] does with
    /// Courier. Root writes the server's settings for the daemon.
    ///
    /// # Errors
    ///
    /// As [`Site::new`].
    pub fn with_packaged(
        spamdrop: &Path,
        software: Software,
        options: &debian::Options,
    ) -> Result<Self> {
        let mut site = Self::build(spamdrop, |server, dir| {
            Packaged::start(server, dir, software, options)
        })?;
        site.user = ACCOUNT;
        site.software = Some(software);
        site.source = options.journal.then_some("journal = true");
        site.entrance = site.smtpd.entrance();
        site.configure("")?;
        site.spamdrop(&["settings", "--write"])?;
        Ok(site)
    }
}

/// The findings of `spamdrop setup` that depend on the server.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// The server's name in `servers`.
    pub server: &'static str,
    /// The line of the configuration that says where the log is.
    pub source: &'static str,
    /// The reason that `setup` shows for `source`.
    pub reason: &'static str,
    /// The number of slots and the server's setting for it, as `setup` shows them.
    pub slots: &'static str,
}

impl<S> Site<S> {
    /// Runs `spamdrop setup --write` as on a machine where spamdrop has just been
    /// installed: there is no configuration, and the default route leads to the
    /// clients. Checks what it shows, that the file is the server's example, and
    /// that the daemon starts with it.
    ///
    /// # Errors
    ///
    /// Something is different, or the command failed.
    pub fn check_setup(&self, found: Found) -> Result<()> {
        let route = ["ip", "route", "add", "default", "via", "198.51.100.1"];
        self.server.exec(route)?;
        let path = self.path("spamdrop.toml");
        fs::remove_file(&path)?;
        let output = self.output(&["setup", "--write"], b"")?;
        let shown = String::from_utf8(output.stdout)?;
        let shown = shown.replace(&path.display().to_string(), "FILE");
        let expected = found.shown();
        ensure!(shown == expected, "it shows\n{shown}, not\n{expected}");
        ensure!(output.status.success(), "{}", output.status);
        let file = fs::read_to_string(&path)?;
        let example = example(found.server)?;
        ensure!(file == example, "the file is\n{file}, not\n{example}");
        self.spamdrop(&["config", "check", "--offline"])?;
        self.run().map(drop)
    }
}

impl Found {
    fn shown(self) -> String {
        let Self {
            server,
            source,
            reason,
            slots,
        } = self;
        format!(
            "\
--- FILE
+++ FILE
@@ line 1: the default route leads there @@
+interfaces = [\"eth0\"]
@@ line 2: it is installed @@
+servers = [{server:?}]
@@ line 3: {reason} @@
+{source}
slots: unchanged: the server has {slots}
zones: unchanged: the server rejects by no DNS blocklist for certain, so no sender counts as listed
"
        )
    }
}

/// The example of a configuration for `server` in spamdrop's package, without the
/// comments.
fn example(server: &str) -> Result<String> {
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../../spamdrop/dist/examples");
    let text = fs::read_to_string(format!("{examples}/{server}.toml"))?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    Ok(lines.map(|line| format!("{line}\n")).collect())
}
