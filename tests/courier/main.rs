//! spamdrop in front of Debian's Courier, with rbldnsd as the blocklist and
//! rsyslog as the writer of the log.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(clippy::print_stderr, reason = "a measurement is shown")]

mod admission;
mod deliveries;
mod setup;
mod wave;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use spamdrop_lab::courier::{self, Options};
use spamdrop_lab::rejection::*;
use spamdrop_lab::wait::until;
use spamdrop_lab::{Client, Courier, Reply, Site};

fn site(change: impl FnOnce(&mut Options)) -> Site<Courier> {
    let mut options = sane();
    change(&mut options);
    Site::with_courier(Path::new(env!("CARGO_BIN_EXE_spamdrop")), &options).unwrap()
}

/// Runs a listed sender's session up to the 511, and checks its text.
fn refused(site: &Site<Courier>, source: &str) -> Client {
    let mut client = greeted(site, source, SPAMMER).unwrap();
    let reply = client.rcpt(RECIPIENT).unwrap();
    assert_listed(&reply, source);
    client
}

fn assert_listed(reply: &Reply, source: &str) {
    let text = format!("Listed, see https://zone.example/{source}");
    assert_eq!((reply.code, &reply.text), (511, &text));
}

#[test]
fn a_polite_sender_hears_its_511_and_221_and_is_dropped_from_then_on() {
    let site = site(|_| {});
    let _daemon = site.run().unwrap();
    for source in [ZOMBIE, ZOMBIE6] {
        polite(&site, source, refused(&site, source)).unwrap();
    }
    deliver(&site, CLEAN).unwrap();
    deliver(&site, CLEAN6).unwrap();
}

#[test]
fn a_rude_sender_hears_its_511_and_its_slot_is_free_after_the_grace() {
    let site = site(|_| {});
    let _daemon = site.run().unwrap();
    for source in [ZOMBIE, ZOMBIE6] {
        rude(&site, source, refused(&site, source)).unwrap();
    }
}

/// Debian enables the tarpit: Courier sleeps 8 s before it logs and sends the
/// first 511, and 16 s before the next.
#[test]
fn with_the_tarpit_terminate_frees_the_slots_of_polite_and_rude_senders() {
    const OTHER: &str = "100.64.66.2";
    const OTHER6: &str = "2001:db8:64:67::1";
    let site = site(|options| options.tarpit = true);
    site.configure("release = \"terminate\"").unwrap();
    let _daemon = site.run().unwrap();
    let sources = [ZOMBIE, ZOMBIE6, OTHER, OTHER6];
    let mut clients = sources.map(|source| greeted(&site, source, SPAMMER).unwrap());
    for client in &mut clients {
        client.send(&format!("RCPT TO:<{RECIPIENT}>")).unwrap();
    }
    for (client, source) in clients.iter_mut().zip(sources) {
        assert_listed(&client.read_reply().unwrap(), source);
    }
    let offence = Instant::now();
    let [polite, polite6, rude, rude6] = &mut clients;
    for client in [polite, polite6] {
        assert_eq!(client.quit().unwrap().code, 221);
    }
    for client in [rude, rude6] {
        client.send(&format!("RCPT TO:<{RECIPIENT}>")).unwrap();
    }
    wait_for_sessions(&site, 2, SOON).unwrap();
    let left = GRACE + Duration::from_secs(1) - offence.elapsed();
    wait_for_sessions(&site, 0, left).unwrap();
    for source in sources {
        assert!(site.dropped(source, SILENCE).unwrap(), "{source}");
    }
}

#[test]
fn a_message_to_a_good_and_a_bad_recipient_is_delivered_and_blocks_nobody() {
    let site = site(|_| {});
    let daemon = site.run().unwrap();
    for source in [CLEAN, CLEAN6] {
        let mut client = greeted(&site, source, "a@friend.example").unwrap();
        assert_eq!(client.rcpt(RECIPIENT).unwrap().code, 250);
        let bad = client.rcpt("stranger@here.example").unwrap();
        assert!((500..600).contains(&bad.code), "{bad:?}");
        assert_eq!(client.data("Subject: x\r\n\r\nhello").unwrap().code, 250);
        assert_eq!(client.quit().unwrap().code, 221);
    }
    until("both messages", SOON, || {
        Ok((site.smtpd.delivered(&site.server)? == 2).then_some(()))
    })
    .unwrap();
    // The log is read in order, so all earlier lines have been read when this
    // sender is blocked.
    let _zombie = refused(&site, ZOMBIE);
    wait_for_state(&site, ZOMBIE, "open").unwrap();
    assert_eq!(entries(&site).unwrap().len(), 1, "{}", daemon.output());
}

#[test]
fn a_blocklist_that_takes_everybody_for_an_open_resolver_blocks_nobody() {
    let site = site(everybody);
    let daemon = site.run().unwrap();
    for source in [CLEAN, CLEAN6, ZOMBIE] {
        let mut client = greeted(&site, source, "a@friend.example").unwrap();
        let reply = client.rcpt(RECIPIENT).unwrap();
        assert_eq!(reply.code, 511);
        assert!(reply.text.contains("open resolver"), "{reply:?}");
        daemon
            .wait_for(|line| line.contains("not blocked"), SOON)
            .unwrap();
    }
    assert_eq!(entries(&site).unwrap().len(), 0);
}

fn everybody(options: &mut Options) {
    options.listed4 = vec!["0.0.0.0/1".into(), "128.0.0.0/1".into()];
    options.listed6 = vec!["::/0".into()];
    let text = "Error: open resolver; https://check.zone.example/returnc/$";
    options.answer = ("127.255.255.254".into(), text.into());
}

#[test]
fn a_blocklist_gone_wrong_trips_the_ceiling_once_and_a_better_one_resets_it() {
    let site = site(|_| {});
    let friends: Vec<_> = (1..=20).map(|n| format!("100.64.{n}.1")).collect();
    let mut known = vec!["known", "add"];
    known.extend(friends.iter().map(String::as_str));
    site.spamdrop(&known).unwrap();
    let daemon = site.run().unwrap();
    for friend in &friends {
        deliver(&site, friend).unwrap();
    }
    let mut wrong = sane();
    wrong.listed4.push("100.64.0.0/16".into());
    courier::list(&site.server, &wrong).unwrap();
    wait_for_verdict(&site, "100.64.99", 511);
    for friend in &friends {
        refused(&site, friend).quit().unwrap();
    }
    let paused = |line: &str| line.contains("no new blocks");
    daemon.wait_for(paused, SOON).unwrap();
    // The ceiling is reached with 20 % of the known senders, and with at least
    // five, so the fifth sender is not blocked.
    let blocked = entries(&site).unwrap();
    let hit = |friend: &&String| blocked.iter().any(|entry| entry["addr"] == friend.as_str());
    assert_eq!(friends.iter().filter(hit).count(), 4, "{blocked:?}");

    courier::list(&site.server, &sane()).unwrap();
    wait_for_verdict(&site, "100.64.98", 250);
    // The wrong blocks would expire by themselves; here an administrator
    // removes them earlier.
    site.spamdrop(&["flush"]).unwrap();
    for friend in &friends {
        deliver(&site, friend).unwrap();
    }
    daemon
        .wait_for(|line| line.contains("blocking again"), SOON)
        .unwrap();
    let _zombie = refused(&site, ZOMBIE);
    wait_for_state(&site, ZOMBIE, "open").unwrap();
    assert_eq!(
        daemon.output().lines().filter(|line| paused(line)).count(),
        1
    );
}

/// Sends from new addresses below `net` until RCPT is answered with `code`.
fn wait_for_verdict(site: &Site<Courier>, net: &str, code: u16) {
    let mut host = 0..=255;
    until("the blocklist to change", Duration::from_secs(10), || {
        let source = format!("{net}.{}", host.next().unwrap());
        let mut client = greeted(site, &source, "a@friend.example").unwrap();
        let reply = client.rcpt(RECIPIENT)?;
        client.quit()?;
        Ok((reply.code == code).then_some(()))
    })
    .unwrap();
}

#[test]
fn config_check_reads_debians_own_configuration() {
    let site = site(|options| options.tarpit = true);
    let check = site.spamdrop(&["config", "check", "--json"]).unwrap();
    let check: Value = serde_json::from_str(&check).unwrap();
    let warnings = check["warnings"].as_array().unwrap();
    let about: Vec<_> = warnings.iter().map(|warning| &warning["about"]).collect();
    assert!(about.contains(&&Value::from("TARPIT")), "{check:#}");
    assert!(
        !about.iter().any(|about| *about == "courier_dir"),
        "{check:#}"
    );
}
