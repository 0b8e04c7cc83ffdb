//! `setup`: the proposed configuration, as a diff.

use std::io::{self, Write};
use std::path::Path;

use spamdrop_core::escape::escape;
use spamdrop_core::setup::{ChangedLine, Proposal, Step};

/// Writes the changes, each with its reason, and the keys that stay as they are or have
/// to be set by hand.
pub fn write_text(
    out: &mut impl Write,
    path: &Path,
    proposals: &[Proposal],
    changes: &[ChangedLine],
) -> io::Result<()> {
    let path = escape(path.as_os_str().as_encoded_bytes());
    match changes.is_empty() {
        true => writeln!(out, "{path}: nothing to change")?,
        false => writeln!(out, "--- {path}\n+++ {path}")?,
    }
    for change in changes {
        let key = change.new.split(' ').next().unwrap_or_default();
        let mut proposals = proposals.iter();
        let reason = proposals.find(|proposal| proposal.key == key);
        let reason = reason.map_or("", |proposal| proposal.reason.as_str());
        writeln!(out, "@@ line {}: {} @@", change.line, clean(reason))?;
        if let Some(old) = &change.old {
            writeln!(out, "-{}", clean(old))?;
        }
        writeln!(out, "+{}", clean(&change.new))?;
    }
    for proposal in proposals {
        let reason = clean(&proposal.reason);
        match proposal.step {
            Step::Set(_) => {}
            Step::Keep => writeln!(out, "{}: unchanged: {reason}", proposal.key)?,
            Step::Ask => writeln!(out, "{}: set it by hand: {reason}", proposal.key)?,
        }
    }
    Ok(())
}

fn clean(text: &str) -> String {
    escape(text.as_bytes())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use spamdrop_core::log::MailServer;
    use spamdrop_core::setup::{FoundMachine, apply, propose};

    #[test]
    fn a_diff_with_reasons_and_questions() {
        let found = FoundMachine {
            interfaces: vec!["ens3".into()],
            servers: vec![MailServer::Exim],
            logs: vec!["/var/log/exim4/mainlog".into()],
            slots: Some(Err("smtp_accept_max is 0".into())),
            ..FoundMachine::default()
        };
        let proposals = propose(&found, |key| key == "servers");
        let (_, changes) = apply(
            "#interfaces = [\"eth0\"]\nservers = [\"exim\"]\n",
            &proposals,
        );
        let mut out = Vec::new();
        write_text(&mut out, Path::new("/etc/x.toml"), &proposals, &changes).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "\
--- /etc/x.toml
+++ /etc/x.toml
@@ line 1: the default route leads there @@
-#interfaces = [\"eth0\"]
+interfaces = [\"ens3\"]
@@ line 3: the journal has no entry of the server in the last seven days @@
+logs = [\"/var/log/exim4/mainlog\"]
servers: unchanged: the configuration sets it
slots: set it by hand: the number is unknown: smtp_accept_max is 0
zones: unchanged: the server rejects by no DNS blocklist for certain, so no sender counts as listed
"
        );
    }
}
