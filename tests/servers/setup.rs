//! `spamdrop setup` beside the servers as Debian installs them.

use spamdrop_lab::site::Found;

use super::*;

fn check(software: Software, found: Found) {
    let site = site(software, |options| {
        options.as_installed = true;
        // Debian's systems have a journal.
        options.journal = true;
    });
    site.check_setup(found).unwrap();
    let settings = site.spamdrop(&["settings"]).unwrap();
    assert!(settings.contains("\n  AUTH on port 25: no\n"), "{settings}");
}

#[test]
fn setup_finds_postfix_as_debian_installs_it() {
    check(
        Software::Postfix,
        Found {
            server: "postfix",
            source: "journal = true",
            reason: "no usual log file exists, so the server logs to the journal",
            slots: "100, by default_process_limit in main.cf",
        },
    );
}

#[test]
fn setup_finds_exim_as_debian_installs_it() {
    check(
        Software::Exim,
        Found {
            server: "exim",
            source: "logs = [\"/var/log/exim4/mainlog\"]",
            reason: "the journal has no entry of the server in the last seven days",
            slots: "20, by the default of smtp_accept_max",
        },
    );
}
