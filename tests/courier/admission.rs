//! The effect of the gate and the responder in a wave against the real Courier,
//! with the defaults and with both features.

use std::thread::scope;

use spamdrop_lab::admission::{LISTED, SLOTS, ZOMBIES, wave};

use super::*;

#[test]
fn a_known_sender_does_not_wait_while_more_strangers_come_than_there_are_slots() {
    let defaults = crowded("");
    let both = crowded("admit = \"on\"\nanswer = \"on\"");
    let _daemons = [&defaults, &both].map(|site| {
        site.spamdrop(&["known", "add", CLEAN]).unwrap();
        site.run().unwrap()
    });
    until("the filter to know the sender", SOON, || {
        let status = site_gate(&both)?;
        Ok((status["known"] == 1).then_some(()))
    })
    .unwrap();
    let [defaults, both] = scope(|scope| {
        [&defaults, &both]
            .map(|site| scope.spawn(|| wave(site, CLEAN)))
            .map(|wave| wave.join().unwrap())
    });
    eprintln!("defaults: {defaults}");
    eprintln!("admit and answer: {both}");
    assert!(both.median() <= 0.1, "{both:?}");
    assert_eq!(both.unserved, 0, "{both:?}");
    assert!(defaults.median() > 0.1, "there was no wave: {defaults:?}");
    // The other senders are not starved.
    assert!(both.strangers >= 10, "{both:?}");
    assert!(both.rejected >= ZOMBIES, "{both:?}");
}

fn crowded(config: &str) -> Site<Courier> {
    let site = site(|options| {
        options.slots = SLOTS;
        options.listed4 = vec![LISTED.into(), "127.0.0.2".into()];
    });
    site.configure(config).unwrap();
    site
}

fn site_gate(site: &Site<Courier>) -> anyhow::Result<Value> {
    let status: Value = serde_json::from_str(&site.status(&["--json"])?)?;
    Ok(status["daemon"]["state"]["gate"].clone())
}
