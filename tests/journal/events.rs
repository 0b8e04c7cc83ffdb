//! Entries of the daemon in the journal.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt as _;

use spamdrop_core::notice::Notice;
use spamdrop_lab::unit::script;

use super::*;

/// The mail about the interface that is missing.
const MAIL: &str = "To: root\nSubject: spamdrop on host: interface-lost\n\n\
                    warning: there is no interface `eth9`; `ip link` lists them\n";

/// Starts the daemon where an interface is missing. systemd-cat connects standard error
/// with the journal, as systemd does, but does not set JOURNAL_STREAM.
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

/// The script of the example unit, changed for another `sendmail` and for a daemon that
/// runs outside of a unit.
fn example(bench: &Bench) -> String {
    let unit = include_str!("../../spamdrop/dist/examples/spamdrop-notify@.service");
    let state = bench.site.path("notify");
    fs::create_dir_all(&state).unwrap();
    let sendmail = bench.site.path("sendmail");
    let mut script = script(unit, "interface-lost").unwrap();
    for (from, to) in [
        ("/usr/sbin/sendmail", sendmail.to_str().unwrap()),
        ("%S/spamdrop-notify", state.to_str().unwrap()),
        ("_SYSTEMD_UNIT=spamdrop.service ", ""),
        ("sleep 10", "sleep 0.1"),
    ] {
        assert!(script.contains(from), "{from}: {script}");
        script = script.replace(from, to);
    }
    script
}

/// Logs an event, and waits until it is in the journal.
fn log_event(bench: &Bench, text: &str) {
    let entry = format!("MESSAGE={text}\\nSPAMDROP_EVENT=interface-lost\\n");
    let log = format!("printf '{entry}' | logger --journald");
    bench.site.server.exec(["sh", "-c", &log]).unwrap();
    bench.wait_for_entries(text, 1);
}

#[test]
fn the_example_mails_each_event_once_also_those_from_while_it_was_stopped() {
    let bench = Bench::new();
    let (mail, sendmail) = (bench.site.path("mail"), bench.site.path("sendmail"));
    let program = format!("#!/bin/sh\ncat >> {}\n", mail.display());
    fs::write(&sendmail, program).unwrap();
    fs::set_permissions(&sendmail, fs::Permissions::from_mode(0o755)).unwrap();
    let script = example(&bench);
    let start = || {
        let no_env: [(&str, &str); 0] = [];
        Daemon::start(&bench.site.server, "sh", ["-c", &script], no_env).unwrap()
    };
    let mails = || fs::read_to_string(&mail).unwrap_or_default();
    let until_mailed = |text: &str| {
        let is_mailed = || Ok(mails().contains(text).then_some(()));
        until(&format!("the mail about {text}"), SOON, is_mailed).unwrap();
    };
    // Events from before the script's first start are not mailed.
    log_event(&bench, "too-early");
    let first = start();
    let cursor = bench.site.path("notify/interface-lost");
    until("the cursor", SOON, || {
        let text = fs::read_to_string(&cursor).unwrap_or_default();
        Ok((!text.is_empty()).then_some(()))
    })
    .unwrap();
    log_event(&bench, "while-it-runs");
    until_mailed("while-it-runs");
    stop_shell(first);
    // The daemon logs the event while it starts.
    let _daemon = run_in_journal(&bench);
    bench.wait_for_entries("no interface `eth9`", 1);
    let second = start();
    until_mailed("eth9");
    log_event(&bench, "at-last");
    until_mailed("at-last");
    stop_shell(second);
    let mails = mails();
    assert!(!mails.contains("too-early"), "{mails}");
    assert!(mails.contains(MAIL), "{mails}");
    assert_eq!(mails.matches("Subject: ").count(), 3, "{mails}");
}

/// Ends the shell. Its commands end by themselves.
fn stop_shell(mut shell: Daemon) {
    shell.kill().unwrap();
}
