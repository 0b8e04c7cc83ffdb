//! What is run on a log, and how it is known to have found what is there.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::traffic::Written;
use super::{Log, path_text};

/// A rejection as spamdrop's grammar for Courier has it: every header that it
/// knows, fields that Courier cuts, replies without a text.
const PATTERN: &str = concat!(
    r"^(<[0-9]{1,3}>)?",
    r"(1 [^ ]+ [^ ]+ courieresmtpd [^ ]+ [^ ]+ (-|(\[[^\]]*\])+) ",
    r"|[^ ]+ ([ 0-9][0-9] [0-9:.]+ |[0-9-]+ [0-9:]+ [A-Z]+ )?[^ ]+ courieresmtpd(\[[0-9]+\])?: )",
    r" ?(message repeated [0-9]+ times: \[ ?)?",
    r"error,relay=[0-9A-Fa-f:.]+(,port=[0-9]{1,5})?(,ident=[^,:]*)?",
    r",from=<[^<>:]*(>|\.\.\.)(,to=<[^<>:]*(>|\.\.\.))?: 511([ -]|$)",
);
/// The rejections of one log, as its reader would type it.
const SHORT: &str = concat!(
    r"^[^ ]+ [^ ]+ courieresmtpd: error,relay=[0-9a-f.:]+(,port=[0-9]+)?(,ident=[^,:]*)?",
    r",from=<[^<>:]*>(,to=<[^<>:]*>)?: 511[ -]"
);
/// The same for fail2ban, which takes the stamp away before.
const FAILREGEX: &str = concat!(
    r"^\s*\S+ courieresmtpd(?:\[\d+\])?: error,relay=<HOST>(?:,port=\d+)?(?:,ident=[^,:]*)?",
    r",from=[^:]*: 511(?:[ -]|$)"
);

/// What reads logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `spamdrop scan`: reads, decides, and says which addresses.
    Spamdrop,
    /// `rg -c`, all that spamdrop takes for a rejection.
    Pattern,
    /// `rg -c`, the rejections of this log.
    Short,
    /// `grep -c ': 511 '`.
    Grep,
    /// fail2ban's own tool for the purpose.
    Fail2ban,
}

/// A command, and what it has to say.
pub struct Contender {
    program: String,
    arguments: Vec<String>,
    /// Where Python finds fail2ban.
    modules: Option<String>,
    expected: String,
    bytes: u64,
}

impl Contender {
    /// Prepares to read a log.
    ///
    /// # Errors
    ///
    /// The program is not there.
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

    /// What counts the lines with a pattern.
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

    /// Runs it and sees that it found all rejections and nothing else.
    /// Returns bytes per second, from its start to its end.
    ///
    /// # Errors
    ///
    /// It fails, or says something else.
    pub fn run(&self) -> Result<f64> {
        let mut command = Command::new(&self.program);
        // What grep takes for characters depends on it.
        command.args(&self.arguments).env("LC_ALL", "C.UTF-8");
        command.envs(self.modules.iter().map(|path| ("PYTHONPATH", path)));
        // A pipe: grep stops at the first match where nobody reads.
        command.stdin(Stdio::null());
        let start = Instant::now();
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
