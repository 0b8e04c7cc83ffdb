//! Courier's deliveries, by which a host can become a known sender.

use spamdrop_lab::{Smtpd, binary, smtpd};

use super::*;

const FORWARD: &str = "forward@here.example";
const FORWARDER: &str = "100.64.1.2";

fn until_delivered(site: &Site<Courier>, number: usize) {
    until("a delivery", Duration::from_secs(20), || {
        let log = std::fs::read_to_string(site.path("mail.log"))?;
        let delivered = |line: &&str| line.contains(",success: delivered: ");
        let count = log.lines().filter(delivered);
        Ok((count.count() == number).then_some(()))
    })
    .unwrap();
}

/// Learns from the log, and returns what the command prints: the numbers of messages
/// that were understood.
fn learned(site: &Site<Courier>) -> String {
    let log = site.path("mail.log");
    site.spamdrop(&["learn", log.to_str().unwrap()]).unwrap()
}

/// Deliveries of one day make no host known, so the test reads from the count whether
/// each was understood.
#[test]
fn a_delivery_counts_but_not_that_of_a_bounce() {
    let site = site(|_| {});
    let options = smtpd::Options::new(site.path("remote.log"), site.path("nobody"));
    let remote = Smtpd::start(&site.world, &binary("lab-smtpd").unwrap(), &options);
    let _remote = remote.unwrap();
    send(&site, FORWARDER, "", FORWARD).unwrap();
    until_delivered(&site, 1);
    let text = learned(&site);
    assert!(text.contains(", 0 of deliveries,"), "{text}");
    send(&site, FORWARDER, "a@friend.example", FORWARD).unwrap();
    until_delivered(&site, 2);
    let text = learned(&site);
    assert!(text.contains(", 1 of deliveries,"), "{text}");
}
