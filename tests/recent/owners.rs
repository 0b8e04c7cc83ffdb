//! Commands of owners, and the ends that they fall back to.

use spamdrop::store::{FILE, Store, VERB_WAIT};
use spamdrop_core::target::Target;

use super::*;

fn owners(site: &Site) -> Vec<String> {
    let entry = json(site, &["show", ZOMBIE, "--json"])["entries"][0].clone();
    let owners = entry["owners"].as_array().cloned().unwrap_or_default();
    owners
        .iter()
        .map(|owner| owner.as_str().unwrap().to_owned())
        .collect()
}

fn wait_for_owners(site: &Site, expected: &[&str]) {
    let mut last = Vec::new();
    until("the owners", SOON, || {
        last = owners(site);
        Ok((last == expected).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}: {last:?}"));
}

fn minutes(site: &Site) -> f64 {
    let entry = json(site, &["show", ZOMBIE, "--json"])["entries"][0].clone();
    (entry["expires_in_s"].as_f64().unwrap() / 60.0).round()
}

#[test]
fn a_jail_lets_go_and_the_script_still_blocks() {
    let site = site();
    let mut daemon = site.run().unwrap();
    run_script(
        &site,
        &format!("echo '+{ZOMBIE} 3600 f2b:postfix-sasl' > $FIFO"),
    );
    wait_for_owners(&site, &["f2b:postfix-sasl"]);
    assert_eq!(minutes(&site), 60.0);
    run_script(&site, &format!("echo '+{ZOMBIE} 1200' > $FIFO"));
    wait_for_owners(&site, &["fifo", "f2b:postfix-sasl"]);
    assert_eq!(minutes(&site), 60.0);
    wait_until_stored(&site, 2);
    run_script(&site, &format!("echo '-{ZOMBIE} f2b:postfix-sasl' > $FIFO"));
    wait_for_owners(&site, &["fifo"]);
    assert_eq!(minutes(&site), 20.0);
    assert!(site.dropped(ZOMBIE, SILENCE).unwrap());
    // A command of an owner waits for those before it.
    run_script(
        &site,
        &format!("printf '+{ZOMBIE} 60 import:x\n-{ZOMBIE}\n-{ZOMBIE} import:x\n' > $FIFO"),
    );
    wait_for_list(&site, &[]);
    let fifo = counted(&site, "removed", 1);
    assert_eq!((&fifo["added"], &fifo["failed"]), (&3.into(), &0.into()));
    run_script(&site, "echo '+127.0.0.1 60 f2b:x' > $FIFO");
    counted(&site, "protected", 1);
    stop(&mut daemon);
}

/// Waits until the ends of this many owners are in the database.
fn wait_until_stored(site: &Site, number: usize) {
    let target: Target = ZOMBIE.parse().unwrap();
    let path = site.path("state").join(FILE);
    until("the ends of owners", SOON, || {
        let Some(store) = Store::read_existing(&path, VERB_WAIT)? else {
            return Ok(None);
        };
        let stored = store.holds([&target])?.remove(&target).unwrap_or_default();
        Ok((stored.len() == number).then_some(()))
    })
    .unwrap();
}
