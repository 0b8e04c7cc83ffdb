//! The names of the mail servers' programs in the log.

use super::server::MailServer;

/// The names that the administrator gave to programs: Courier's `SYSLOGNAME`,
/// Exim's `syslog_processname`, Postfix's `syslog_name`, sendmail's `-L`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProgramNames(Vec<(MailServer, Vec<String>)>);

impl ProgramNames {
    /// Sets the names of a server's program, which replace its usual names.
    pub fn set(&mut self, server: MailServer, names: Vec<String>) {
        self.0.retain(|(other, _)| *other != server);
        self.0.push((server, names));
    }

    /// The names of a server's program; `None`: its usual names.
    #[must_use]
    pub fn names(&self, server: MailServer) -> Option<&[String]> {
        let (_, names) = self.0.iter().find(|(of, _)| *of == server)?;
        Some(names)
    }

    /// Whether a mail server's program has this name, by default or by
    /// configuration. Such a program logs no lines of other programs.
    pub(super) fn is_mail_servers(&self, program: &[u8]) -> bool {
        let is_configured = |names: &[String]| names.iter().any(|name| name.as_bytes() == program);
        MailServer::ALL
            .into_iter()
            .any(|server| server.is_usual(program))
            || self.0.iter().any(|(_, names)| is_configured(names))
    }
}
