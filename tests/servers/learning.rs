//! Known senders, learned from accepted mail and from deliveries.

use std::fs;

use spamdrop_lab::{Smtpd, binary, smtpd};

use super::*;

/// The host that accepts forwarded mail.
const FRIEND: &str = "100.64.1.1";
const FORWARDS: [&str; 2] = ["forward@here.example", "other@here.example"];
/// A sender in another network than the friend.
const SENDER: &str = "100.64.2.2";

fn until_logged(site: &RealSite, words: &str, number: usize) {
    until(words, Duration::from_secs(20), || {
        let log = log(site);
        let count = log.lines().filter(|line| line.contains(words)).count();
        Ok((count == number).then_some(()))
    })
    .unwrap();
}

/// A part of the log line of a delivery to another host.
fn delivery(software: Software) -> &'static str {
    match software {
        Software::Exim => " T=remote_smtp H=",
        Software::Postfix | Software::Postscreen => "]:25, delay=",
    }
}

/// Learns from a log, and returns what the command prints: the numbers of messages that
/// were understood.
fn learned(site: &RealSite, log: &str) -> String {
    let path = site.path("learned.log");
    fs::write(&path, log).unwrap();
    site.spamdrop(&["learn", path.to_str().unwrap()]).unwrap()
}

fn log(site: &RealSite) -> String {
    site.smtpd.log(&site.server).unwrap()
}

/// The log as it would have been written that many hours ago.
fn hours_ago(log: &str, hours: i64) -> String {
    let moved = log.lines().map(|line| {
        let (stamp, rest) = line.split_once(' ').unwrap();
        let stamp: jiff::Timestamp = stamp.parse().unwrap();
        let earlier = stamp - jiff::SignedDuration::from_hours(hours);
        format!("{earlier} {rest}\n")
    });
    moved.collect()
}

fn known(site: &RealSite) -> String {
    site.spamdrop(&["known", "list"]).unwrap()
}

#[test]
fn three_messages_on_two_days_make_a_sender_known() {
    with_each(|software| {
        let site = site(software, |_| {});
        deliver(&site, CLEAN).unwrap();
        wait_for_sessions(&site, 0, SOON).unwrap();
        let log = log(&site);
        let two = hours_ago(&log, 1) + &log;
        let text = learned(&site, &two);
        assert!(text.contains(", 2 of accepted mail,"), "{text}");
        assert!(!known(&site).contains(" known "), "{}", known(&site));
        learned(&site, &(hours_ago(&log, 24) + &two));
        let known = known(&site);
        let is_known = |line: &str| line.starts_with(CLEAN) && line.contains(" known ");
        assert!(known.lines().any(is_known), "{known}");
    });
}

#[test]
fn two_deliveries_on_two_days_make_a_host_known_but_not_those_of_bounces() {
    with_each(|software| {
        let site = site(software, |_| {});
        let options = smtpd::Options::new(site.path("remote.log"), site.path("nobody"));
        let remote = Smtpd::start(&site.world, &binary("lab-smtpd").unwrap(), &options);
        let _remote = remote.unwrap();
        let words = delivery(software);
        let mut logs = Vec::new();
        for (number, sender, counted) in [(0, "", ", 0"), (1, "a@friend.example", ", 2")] {
            for (index, recipient) in FORWARDS.into_iter().enumerate() {
                send(&site, SENDER, sender, recipient).unwrap();
                until_logged(&site, words, 2 * number + index + 1);
            }
            let text = learned(&site, &log(&site));
            let counted = format!("{counted} of deliveries,");
            assert!(text.contains(&counted), "{text}");
            logs.push(log(&site));
        }
        let [before, after] = &logs[..] else {
            unreachable!()
        };
        let both = after.strip_prefix(before.as_str()).unwrap();
        // Deliveries count only if the log shows the seven days before them.
        let week = (2..10).rev().map(|ago| hours_ago(before, 24 * ago));
        let days = week.chain([hours_ago(both, 24), both.to_owned()]);
        let all: String = days.collect();
        learned(&site, &all);
        let known = known(&site);
        let is_known = |line: &str| line.starts_with(FRIEND) && line.contains(" known ");
        assert!(known.lines().any(is_known), "{known}");
    });
}
