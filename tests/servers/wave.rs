//! The effect of the gate and the responder in a wave against the real Postfix
//! and the real Exim, with the defaults and with both features.

use std::thread::scope;

use spamdrop_lab::admission::{LISTED, Outcome, SLOTS, ZOMBIES, wave};

use super::*;

const SERVERS: [Software; 2] = [Software::Postfix, Software::Exim];

#[test]
fn a_known_sender_does_not_wait_while_more_strangers_come_than_there_are_slots() {
    let runs = SERVERS.map(|software| [false, true].map(|both| (software, both)));
    let mut sites = Vec::new();
    scope(|scope| {
        let start = |(software, both)| scope.spawn(move || crowded(software, both));
        let starting: Vec<_> = runs.as_flattened().iter().copied().map(start).collect();
        sites.extend(starting.into_iter().map(|site| site.join().unwrap()));
    });
    let _daemons: Vec<_> = sites.iter().map(run).collect();
    let outcomes: Vec<_> = scope(|scope| {
        let waves = sites.iter().map(|site| scope.spawn(|| wave(site, CLEAN)));
        let waves: Vec<_> = waves.collect();
        waves.into_iter().map(|wave| wave.join().unwrap()).collect()
    });
    let runs = || runs.as_flattened().iter().zip(&outcomes);
    for ((software, both), outcome) in runs() {
        let features = if *both {
            "admit and answer"
        } else {
            "defaults"
        };
        eprintln!("{software:?}, {features}: {outcome}");
    }
    for ((_, both), outcome) in runs() {
        check(*both, outcome);
    }
}

fn check(both: bool, outcome: &Outcome) {
    if !both {
        let has_waited = outcome.median() > 0.1 || outcome.unserved > 0;
        assert!(has_waited, "there was no wave: {outcome:?}");
        return;
    }
    assert!(outcome.median() <= 0.1, "{outcome:?}");
    assert_eq!(outcome.unserved, 0, "{outcome:?}");
    // The other senders are not starved.
    assert!(outcome.strangers >= 10, "{outcome:?}");
    assert!(outcome.rejected >= ZOMBIES, "{outcome:?}");
}

fn crowded(software: Software, both: bool) -> RealSite {
    let site = site(software, |options| {
        options.slots = SLOTS;
        options.listed4 = vec![LISTED.into(), "127.0.0.2".into()];
    });
    if both {
        site.configure("admit = \"on\"\nanswer = \"on\"").unwrap();
    }
    site
}

/// Starts the daemon, and waits until the filter has the known sender.
fn run(site: &RealSite) -> spamdrop_lab::Daemon {
    site.spamdrop(&["known", "add", CLEAN]).unwrap();
    let daemon = site.run().unwrap();
    until("the filter to know the sender", SOON, || {
        let known = gate(site)?["known"] == 1;
        Ok(known.then_some(()))
    })
    .unwrap();
    daemon
}
