//! Entries of the daemon in the journal.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::{Pid, kill_process};
use spamdrop_core::notice::Notice;
use spamdrop_lab::unit::script;

use super::*;

/// The mail about the interface that is missing.
const MAIL: &str = "To: root\nSubject: spamdrop on host: interface-lost\n\n\
                    warning: there is no interface `eth9`; `ip link` lists them\n";

/// Starts the daemon where an interface is missing. systemd-cat connects standard
/// error with the journal, as systemd does, but does not say so.
fn run_in_journal(bench: &Bench) -> Daemon {
    let config = bench.site.path("spamdrop.toml");
    let program = env!("CARGO_BIN_EXE_spamdrop");
    let script = "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$0\" \"$@\"";
    let args = ["sh", "-c", script, program, "--config"];
    let args = args.map(OsStr::new).into_iter().chain([config.as_os_str()]);
    let flags = ["run", "--interface", "eth0", "--interface", "eth9"];
    let args = args.chain(flags.map(OsStr::new));
    let env = [("RUST_LOG", "info")];
    Daemon::start(&bench.site.server, "systemd-cat", args, env).unwrap()
}

#[test]
fn an_event_of_the_daemon_is_an_entry_with_its_message_id() {
    let bench = Bench::new();
    let daemon = run_in_journal(&bench);
    bench.wait_for_entries("no interface `eth9`", 1);
    bench.wait_for_entries("spamdrop: ready: ", 1);
    let find = [
        "journalctl",
        "--output=json",
        "SPAMDROP_EVENT=interface-lost",
    ];
    let found = bench.site.server.exec(find).unwrap();
    let entry: Value = serde_json::from_str(&found).unwrap();
    for (field, expected) in [
        (
            "MESSAGE",
            "warning: there is no interface `eth9`; `ip link` lists them",
        ),
        ("MESSAGE_ID", Notice::InterfaceLost.message_id()),
        ("PRIORITY", "4"),
        ("SYSLOG_IDENTIFIER", "spamdrop"),
    ] {
        assert_eq!(entry[field], expected, "{entry}");
    }
    assert_eq!(daemon.output(), "");
}

/// A shell whose commands end with it.
struct Pipeline(Daemon);

impl Drop for Pipeline {
    fn drop(&mut self) {
        for child in children(self.0.pid()) {
            let child = Pid::from_raw(child.cast_signed()).unwrap();
            // It may have ended by itself.
            let _ = kill_process(child, rustix::process::Signal::KILL);
        }
    }
}

/// The example, with another `sendmail`, for a daemon that is in no unit.
#[test]
fn the_example_mails_an_event() {
    let bench = Bench::new();
    let (mail, sendmail) = (bench.site.path("mail"), bench.site.path("sendmail"));
    let program = format!("#!/bin/sh\ncat >> {}\n", mail.display());
    fs::write(&sendmail, program).unwrap();
    fs::set_permissions(&sendmail, fs::Permissions::from_mode(0o755)).unwrap();
    let unit = include_str!("../../spamdrop/dist/examples/spamdrop-notify@.service");
    let script = script(unit, "interface-lost").unwrap();
    let script = script.replace("/usr/sbin/sendmail", &sendmail.display().to_string());
    let script = script.replace("_SYSTEMD_UNIT=spamdrop.service ", "");
    let no_env: [(&str, &str); 0] = [];
    let shell = Daemon::start(&bench.site.server, "sh", ["-c", &script], no_env);
    let _notify = Pipeline(shell.unwrap());
    // Entries before journalctl follows are not mailed.
    let marker = "printf 'MESSAGE=marker\\nSPAMDROP_EVENT=interface-lost\\n' | logger --journald";
    let is_mailed = |is_it: fn(&str) -> bool| {
        let text = fs::read_to_string(&mail).unwrap_or_default();
        is_it(&text).then_some(())
    };
    until("journalctl to follow", SOON, || {
        bench.site.server.exec(["sh", "-c", marker])?;
        Ok(is_mailed(|text| text.contains("marker")))
    })
    .unwrap();
    let _daemon = run_in_journal(&bench);
    until("the mail", SOON, || {
        Ok(is_mailed(|text| text.ends_with(MAIL)))
    })
    .unwrap();
}
