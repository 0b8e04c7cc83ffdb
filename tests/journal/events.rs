//! Entries of the daemon in the journal.

use std::ffi::OsStr;

use spamdrop_core::notice::Notice;

use super::*;

/// systemd-cat connects standard error with the journal, as systemd does, but does
/// not say so.
#[test]
fn an_event_of_the_daemon_is_an_entry_with_its_message_id() {
    let bench = Bench::new();
    let config = bench.site.path("spamdrop.toml");
    let program = env!("CARGO_BIN_EXE_spamdrop");
    let script = "JOURNAL_STREAM=$(stat -L -c %d:%i /proc/self/fd/2) exec \"$0\" \"$@\"";
    let args = ["sh", "-c", script, program, "--config"];
    let args = args.map(OsStr::new).into_iter().chain([config.as_os_str()]);
    let flags = ["run", "--interface", "eth0", "--interface", "eth9"];
    let args = args.chain(flags.map(OsStr::new));
    let env = [("RUST_LOG", "info")];
    let daemon = Daemon::start(&bench.site.server, "systemd-cat", args, env).unwrap();
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
