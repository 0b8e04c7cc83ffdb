//! IPv4 senders behind NAT64, from the log line to the dropped packet.

use super::*;

/// 100.64.0.66 and 100.64.0.1 behind the translator of this site.
const LISTED: &str = "2001:db8:64:64::6440:42";
const OTHER: &str = "2001:db8:64:64::6440:1";
const CONFIGURED: &str = "nat64 = [\"2001:db8:64:64::/96\"]";

#[test]
fn only_the_offender_behind_the_translator_is_blocked() {
    let site = site(|_| {});
    site.configure(CONFIGURED).unwrap();
    site.blacklist(LISTED).unwrap();
    let _daemon = site.run().unwrap();
    refused(&site, LISTED).quit().unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
    assert!(is_dropped(&site, LISTED) && is_dropped(&site, ZOMBIE));
    assert!(!is_dropped(&site, OTHER) && !is_dropped(&site, CLEAN));
    site.spamdrop(&["remove", LISTED]).unwrap();
    assert!(!is_dropped(&site, LISTED) && !is_dropped(&site, ZOMBIE));
}

/// The peer's socket is IPv6, its entry IPv4.
#[test]
fn the_connection_of_an_offender_behind_nat64_is_released() {
    let site = site(|options| options.read_timeout = Duration::ZERO);
    let more = format!("{CONFIGURED}\ngrace = \"1s\"");
    site.configure(&more).unwrap();
    let _daemon = site.run().unwrap();
    let mut client = site.connect(LISTED).unwrap();
    assert_eq!(client.read_reply().unwrap().code, 220);
    site.spamdrop(&["add", ZOMBIE]).unwrap();
    client.expect_reset(SOON).unwrap();
    wait_for_state(&site, ZOMBIE, "sealed", SOON);
}

#[test]
fn the_well_known_prefix_needs_no_configuration() {
    let site = site(|_| {});
    let daemon = site.run().unwrap();
    site.log(&rejection("64:ff9b::6440:42")).unwrap();
    daemon
        .wait_for(|line| line.contains(&format!("blocked {ZOMBIE}:")), SOON)
        .unwrap();
    assert!(is_dropped(&site, ZOMBIE) && !is_dropped(&site, CLEAN));
    site.spamdrop(&["known", "add", "64:ff9b::6440:1"]).unwrap();
    let known = site.spamdrop(&["known", "list"]).unwrap();
    assert!(
        known.contains(CLEAN) && !known.contains("64:ff9b"),
        "{known}"
    );
}
