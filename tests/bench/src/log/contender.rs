//! The programs that process a log, and the check of their results.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::traffic::Written;
use super::{Log, path_text};

/// Matches a rejection in spamdrop's full grammar for Courier: every known
/// header, truncated fields, replies without a text.
const PATTERN: &str = concat!(
    r"^(<[0-9]{1,3}>)?",
    r"(1 [^ ]+ [^ ]+ courieresmtpd [^ ]+ [^ ]+ (-|(\[[^\]]*\])+) ",
    r"|[^ ]+ ([ 0-9][0-9] [0-9:.]+ |[0-9-]+ [0-9:]+ [A-Z]+ )?[^ ]+ courieresmtpd(\[[0-9]+\])?: )",
    r" ?(message repeated [0-9]+ times: \[ ?)?",
    r"error,relay=[0-9A-Fa-f:.]+(,port=[0-9]{1,5})?(,ident=[^,:]*)?",
    r",from=<[^<>:]*(>|\.\.\.)(,to=<[^<>:]*(>|\.\.\.))?: 511([ -]|$)",
);
/// Matches the rejections of this log only, as a user would write it.
const SHORT: &str = concat!(
    r"^[^ ]+ [^ ]+ courieresmtpd: error,relay=[0-9a-f.:]+(,port=[0-9]+)?(,ident=[^,:]*)?",
    r",from=<[^<>:]*>(,to=<[^<>:]*>)?: 511[ -]"
);
/// Matches the same rejections in fail2ban, which removes the stamp before
/// matching.
const FAILREGEX: &str = concat!(
    r"^\s*\S+ courieresmtpd(?:\[\d+\])?: error,relay=<HOST>(?:,port=\d+)?(?:,ident=[^,:]*)?",
    r",from=[^:]*: 511(?:[ -]|$)"
);

/// The kinds of contenders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `spamdrop scan`: reads, decides, and prints the addresses.
    Spamdrop,
    /// `rg -c` with the full grammar of rejections.
    Pattern,
    /// `rg -c` with the pattern for this log.
    Short,
    /// `grep -c ': 511 '`.
    Grep,
    /// fail2ban-regex, fail2ban's own tool for testing a filter.
    Fail2ban,
}

/// A command and its expected output.
pub struct Contender {
    program: String,
    arguments: Vec<String>,
    /// The directory in which Python finds fail2ban.
    modules: Option<String>,
    expected: String,
    bytes: u64,
}

impl Contender {
    /// Creates the command of this kind that reads `log`.
    ///
    /// # Errors
    ///
    /// The program is not installed.
    pub fn new(kind: Kind, log: &Log, config: &Path) -> Result<Self> {
        match kind {
            Kind::Spamdrop => Self::spamdrop(log, config),
            Kind::Pattern => Self::counter("rg", PATTERN, log, log.written.rejections),
            Kind::Short => Self::counter("rg", SHORT, log, log.written.rejections),
            Kind::Grep => Self::counter("grep", ": 511 ", log, log.written.codes),
            Kind::Fail2ban => Self::fail2ban(log),
        }
    }

    fn spamdrop(log: &Log, config: &Path) -> Result<Self> {
        let program = spamdrop_lab::binary("spamdrop")?;
        let Written {
            lines, rejections, ..
        } = log.written;
        let arguments = [
            "--config",
            path_text(config)?,
            "scan",
            path_text(&log.path)?,
        ];
        Ok(Self {
            program: path_text(&program)?.into(),
            arguments: arguments.map(String::from).into(),
            modules: None,
            expected: format!("{lines} lines, {rejections} would block"),
            bytes: log.written.bytes,
        })
    }

    /// Makes a command that counts the lines that match a pattern.
    fn counter(program: &str, pattern: &str, log: &Log, expected: u64) -> Result<Self> {
        Ok(Self {
            program: program.into(),
            arguments: ["-c", pattern, path_text(&log.path)?]
                .map(String::from)
                .into(),
            modules: None,
            expected: expected.to_string(),
            bytes: log.written.bytes,
        })
    }

    fn fail2ban(log: &Log) -> Result<Self> {
        let tree = spamdrop_lab::debian_tree()?;
        let Written {
            lines, rejections, ..
        } = log.written;
        Ok(Self {
            program: path_text(&tree.join("usr/bin/fail2ban-regex"))?.into(),
            arguments: [path_text(&log.path)?, FAILREGEX].map(String::from).into(),
            modules: Some(path_text(&tree.join("usr/lib/python3/dist-packages"))?.into()),
            expected: format!("{lines} lines, 0 ignored, {rejections} matched"),
            bytes: log.written.bytes,
        })
    }

    /// Runs the command and checks that it found all rejections and nothing
    /// else. Returns the throughput in bytes per second, including the process
    /// start.
    ///
    /// # Errors
    ///
    /// The command fails, or its output is wrong.
    pub fn run(&self) -> Result<f64> {
        let mut command = Command::new(&self.program);
        // The locale determines grep's character set.
        command.args(&self.arguments).env("LC_ALL", "C.UTF-8");
        command.envs(self.modules.iter().map(|path| ("PYTHONPATH", path)));
        command.stdin(Stdio::null());
        let start = Instant::now();
        // `output` reads the output from a pipe. If the output went to /dev/null, grep
        // would stop at the first match.
        let output = command
            .output()
            .with_context(|| format!("cannot start {}", self.program))?;
        let elapsed = start.elapsed();
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success() && said.contains(&self.expected),
            "{} did not say \"{}\"",
            self.program,
            self.expected
        );
        Ok(self.bytes as f64 / elapsed.as_secs_f64())
    }
}
