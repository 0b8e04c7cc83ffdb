//! `spamdrop setup` beside Courier as Debian installs it.

use spamdrop_lab::site::Found;

use super::*;

#[test]
fn setup_finds_courier_as_debian_installs_it() {
    let site = site(|options| {
        options.as_installed = true;
        options.journal = true;
    });
    site.check_setup(Found {
        server: "courier",
        source: "journal = true",
        reason: "no usual log file exists, so the server logs to the journal",
        slots: "40, by MAXDAEMONS",
    })
    .unwrap();
}
