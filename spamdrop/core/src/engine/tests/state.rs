//! Tests of the state that the caller gives to an engine and takes from it.

use std::path::Path;

use super::*;
use crate::policy::Neighbour;
use crate::reputation::Network;

/// A line without a stamp that reports a connection from 192.0.2.200.
const UNSTAMPED: &[u8] =
    b"<22>1 - mx courieresmtpd - - - started,ip=[::ffff:192.0.2.200],port=[4000]";

#[test]
fn a_connection_without_a_stamp_is_new_unless_it_is_backlog() {
    let addr = "192.0.2.200".parse().unwrap();
    let now = (Network::from_addr(addr), UnixSeconds::new(PRESENT));
    for (is_backlog, expected) in [(false, vec![now]), (true, vec![])] {
        let mut engine = engine();
        assert!(!engine.has_evidence());
        engine.read(UNSTAMPED, is_backlog, wall(PRESENT));
        assert_eq!(engine.has_evidence(), !is_backlog);
        assert_eq!(engine.take_contacts().networks, expected);
        assert!(!engine.has_evidence());
    }
}

#[test]
fn contacts_outlive_a_restart_and_a_store_that_fails() {
    let mut before = engine();
    before.read(UNSTAMPED, false, wall(PRESENT));
    let contacts = before.take_contacts();
    before.give_back_contacts(contacts.clone());
    assert_eq!(before.take_contacts(), contacts);
    let mut after = engine();
    after.restore_contacts(contacts.clone());
    let restored = after.take_contacts();
    assert_eq!(
        (restored.since, restored.until, restored.networks),
        (contacts.since, contacts.until, vec![])
    );
}

#[test]
fn reports_about_slots_are_taken_once() {
    let mut postfix = settings();
    postfix.parser.servers = vec![MailServer::Postfix];
    let mut engine = Engine::new(postfix, Protected::default());
    let peer: IpAddr = "192.0.2.1".parse().unwrap();
    for (program, text) in [
        ("postfix/smtpd", "connect from x[192.0.2.1]:40112"),
        ("postfix/postscreen", "PASS NEW [192.0.2.1]:40112"),
    ] {
        let line = format!("{} mx {program}[1]: {text}", stamp(PRESENT));
        engine.read(line.as_bytes(), false, wall(PRESENT));
        let is_postscreen = program.ends_with("postscreen");
        let handed_over = is_postscreen.then_some((peer, 40_112));
        assert_eq!(engine.take_handed_over(), handed_over, "{line}");
        assert_eq!(engine.take_handed_over(), None);
        let slot = engine.take_slot_line().map(|(slot, at)| (slot.addr, at));
        assert_eq!(slot, Some((peer, Some(wall(PRESENT)))), "{line}");
        assert_eq!(engine.take_slot_line(), None);
    }
}

#[test]
fn an_event_of_two_logs_is_counted_as_a_duplicate() {
    let mut engine = engine();
    let line = rejection(PRESENT, "192.0.2.1");
    let Parsed::Event(event) = engine.read(line.as_bytes(), false, wall(PRESENT)) else {
        panic!("{line}");
    };
    for (log, expected) in [("mail.log", false), ("mail.err", true), ("mail.err", false)] {
        let is_duplicate = engine.is_duplicate(&event, Path::new(log), moment(0));
        assert_eq!(is_duplicate, expected, "{log}");
    }
    assert_eq!(engine.counts(), &[("duplicate", 1)].into());
}

#[test]
fn many_blocks_in_a_minute_are_a_surge() {
    let mut engine = engine();
    for n in 0..=20 {
        assert!(!engine.take_surge(moment(0)), "{n}");
        let line = rejection(PRESENT, &format!("192.0.2.{n}"));
        effects(&mut engine, &line, moment(0), false);
    }
    assert!(engine.take_surge(moment(0)));
}

#[test]
fn the_64_of_a_known_sender_is_shared() {
    let mut engine = engine();
    let sender = Target::from("2001:db8::25".parse::<IpAddr>().unwrap());
    let Target::V6(net) = sender else {
        panic!("{sender}");
    };
    assert_eq!(engine.scope().neighbour(net), None);
    engine.know([sender].into_iter().collect());
    assert_eq!(engine.scope().neighbour(net), Some(Neighbour::Known));
}

#[test]
fn a_sender_that_is_no_longer_known_does_not_count_for_the_ceiling() {
    for (left, expected) in [(5, true), (4, false)] {
        let mut engine = engine();
        let senders = [1, 2, 3, 4, 5].map(|n| Target::V4([198, 51, 100, n]));
        for sender in senders {
            engine.remember(sender, &known_record(), moment(0));
        }
        engine.know_exactly(&senders[..left], moment(0));
        for sender in senders {
            let line = rejection(PRESENT, &sender.to_string());
            effects(&mut engine, &line, moment(0), false);
        }
        assert_eq!(engine.ceiling(moment(1)).is_some(), expected, "{left}");
    }
}
