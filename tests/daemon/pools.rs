//! IPv6 /64s that hold several hosts: an offender is blocked without the others.

use std::fmt::Debug;

use super::*;

const NET: &str = "2001:db8:64:5::/64";
const OFFENDERS: [&str; 3] = [
    "2001:db8:64:5::66",
    "2001:db8:64:5::67",
    "2001:db8:64:5::68",
];
const FRIEND: &str = "2001:db8:64:5::25";
const STRANGER: &str = "2001:db8:64:5::99";
/// Time limit for evidence to be written and read; the daemon writes it every
/// five seconds.
const LEARNED: Duration = Duration::from_secs(12);

/// The entry of an address that is blocked alone, as `list` shows it.
fn alone(addr: &str) -> String {
    format!("{addr}/128")
}

fn until_listed(site: &Site, listed: &[impl AsRef<str> + Debug], within: Duration) {
    until(&format!("{listed:?} to be blocked"), within, || {
        let is_listed = site.listed()?.iter().eq(listed.iter().map(AsRef::as_ref));
        Ok(is_listed.then_some(()))
    })
    .unwrap();
}

fn assert_only_offenders_are_dropped(site: &Site) {
    for source in OFFENDERS {
        assert!(is_dropped(site, source), "{source}");
    }
    for source in [FRIEND, STRANGER] {
        assert!(!is_dropped(site, source), "{source}");
    }
}

#[test]
fn an_offender_beside_an_allowlisted_address_gets_its_511_and_is_blocked_alone() {
    let site = site(|_| {});
    site.spamdrop(&["allow", "add", MATE6]).unwrap();
    let _daemon = site.run().unwrap();
    let mut mate = site.connect(MATE6).unwrap();
    assert_eq!(mate.read_reply().unwrap().code, 220);
    let mut client = refused(&site, ZOMBIE6);
    wait_for_state(&site, ZOMBIE6, "open", SOON);
    assert_eq!(entry(&site, ZOMBIE6).unwrap()["addr"], alone(ZOMBIE6));
    assert!(is_dropped(&site, ZOMBIE6));
    assert_eq!(client.quit().unwrap().code, 221);
    drop(client);
    // The entry of a single address, unlike that of a /64, is sealed although a neighbour
    // still has a connection.
    wait_for_state(&site, ZOMBIE6, "sealed", SOON);
    assert!(is_dropped(&site, ZOMBIE6));
    assert!(!is_dropped(&site, "2001:db8:64:1::78"));
    assert_eq!(mate.quit().unwrap().code, 221);
}

/// A provider with known and bad senders in one /64.
#[test]
fn each_offender_of_a_pool_with_a_known_sender_is_blocked() {
    let site = site(|_| {});
    site.spamdrop(&["known", "add", FRIEND]).unwrap();
    let daemon = site.run().unwrap();
    for source in OFFENDERS {
        site.log(&rejection(source)).unwrap();
    }
    let told = |line: &str| line.contains(&format!("blocked {}: ", OFFENDERS[2]));
    daemon.wait_for(told, SOON).unwrap();
    until_listed(&site, &OFFENDERS.map(alone), SOON);
    assert_only_offenders_are_dropped(&site);
    // Another rejection is the second offence of the same address.
    let shown = |site: &Site| -> Value {
        let shown = site.spamdrop(&["show", OFFENDERS[0], "--json"]).unwrap();
        serde_json::from_str(&shown).unwrap()
    };
    until("the second offence", 2 * SOON, || {
        site.log(&rejection(OFFENDERS[0]))?;
        Ok((shown(&site)["origins"][0]["offences"].as_u64() >= Some(2)).then_some(()))
    })
    .unwrap();
    until_listed(&site, &OFFENDERS.map(alone), SOON);
}

#[test]
fn a_blocked_64_becomes_its_offenders_when_a_sender_in_it_becomes_known() {
    let site = site(|_| {});
    let daemon = site.run().unwrap();
    for source in OFFENDERS {
        site.log(&rejection(source)).unwrap();
    }
    until_listed(&site, &[NET], SOON);
    assert!(is_dropped(&site, FRIEND));
    known::logs_mail_of_two_days(&site, FRIEND);
    until_listed(&site, &OFFENDERS.map(alone), LEARNED);
    let [first, second, third] = OFFENDERS;
    let told =
        format!("{NET} is no longer blocked as a whole: {first}, {second}, {third} stay blocked");
    daemon.wait_for(|line| line.contains(&told), SOON).unwrap();
    assert_only_offenders_are_dropped(&site);
}

/// The entries that a split leaves open are sealed like any other.
#[test]
fn an_open_64_that_is_split_is_sealed_when_its_offender_is_gone() {
    let site = site(|_| {});
    let _daemon = site.run().unwrap();
    let mut client = refused(&site, ZOMBIE6);
    wait_for_state(&site, ZOMBIE6, "open", SOON);
    site.spamdrop(&["known", "add", MATE6]).unwrap();
    assert_eq!(site.listed().unwrap(), [alone(ZOMBIE6)]);
    assert_eq!(entry(&site, ZOMBIE6).unwrap()["state"], "open");
    assert_eq!(client.quit().unwrap().code, 221);
    drop(client);
    wait_for_state(&site, ZOMBIE6, "sealed", SOON);
    assert!(is_dropped(&site, ZOMBIE6) && !is_dropped(&site, MATE6));
}

#[test]
fn a_blocked_64_is_split_at_the_start_and_when_the_machine_gets_an_address_in_it() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    let other = "2001:db8:64:6::66";
    site.log(&rejection(OFFENDERS[0])).unwrap();
    site.log(&rejection(other)).unwrap();
    until_listed(&site, &[NET, "2001:db8:64:6::/64"], SOON);
    let command = "address add 2001:db8:64:5::1/128 dev lo";
    site.server
        .exec(["ip"].into_iter().chain(command.split(' ')))
        .unwrap();
    let listed = [&alone(OFFENDERS[0]), "2001:db8:64:6::/64"];
    until_listed(&site, &listed, 2 * SOON);
    assert!(stopped_cleanly(&mut daemon).success());
    std::fs::write(site.path("allow"), "2001:db8:64:6::25\n").unwrap();
    let _daemon = site.run().unwrap();
    until_listed(&site, &[OFFENDERS[0], other].map(alone), SOON);
}
