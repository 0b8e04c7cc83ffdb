//! Courier's deliveries: a host that accepts mail becomes a known sender.

use spamdrop_lab::{Smtpd, binary, smtpd};

use super::*;

const FORWARD: &str = "forward@here.example";
/// The host to which Courier forwards the mail for [`FORWARD`].
const REMOTE: &str = CLEAN;

fn sends(site: &Site<Courier>, sender: &str) {
    let mut client = greeted(site, "100.64.1.2", sender);
    assert_eq!(client.rcpt(FORWARD).unwrap().code, 250);
    assert_eq!(client.data("Subject: x\r\n\r\nhello").unwrap().code, 250);
    assert_eq!(client.quit().unwrap().code, 221);
}

fn until_delivered(site: &Site<Courier>, number: usize) {
    until("a delivery", Duration::from_secs(20), || {
        let log = std::fs::read_to_string(site.path("mail.log"))?;
        let delivered = |line: &&str| line.contains(",success: delivered: ");
        let count = log.lines().filter(delivered);
        Ok((count.count() == number).then_some(()))
    })
    .unwrap();
}

/// Learns from the log, and returns whether the remote host is then known.
fn knows_remote(site: &Site<Courier>) -> bool {
    let log = site.path("mail.log");
    site.spamdrop(&["learn", log.to_str().unwrap()]).unwrap();
    let known = site.spamdrop(&["known", "list", "--json"]).unwrap();
    let known: Vec<Value> = serde_json::from_str(&known).unwrap();
    known.iter().any(|sender| {
        sender["addr"] == REMOTE
            && sender["state"] == "known"
            && sender["last_delivered_unix_s"].is_u64()
    })
}

#[test]
fn who_takes_mail_is_known_but_not_by_a_bounce() {
    let site = site(|_| {});
    let options = smtpd::Options::new(site.path("remote.log"), site.path("nobody"));
    let remote = Smtpd::start(&site.world, &binary("lab-smtpd").unwrap(), &options);
    let _remote = remote.unwrap();
    sends(&site, "");
    until_delivered(&site, 1);
    assert!(!knows_remote(&site));
    sends(&site, "a@friend.example");
    until_delivered(&site, 2);
    assert!(knows_remote(&site));
}
