//! The gate's count of connections where postscreen listens: its slots are
//! those of clients that it has not handed to smtpd yet.

use serde_json::json;

use super::*;

/// A client that connects and says nothing.
fn idle(site: &RealSite, source: &str) -> Client {
    site.connect(source).unwrap()
}

fn gated(slots: u16, greet_wait: u8) -> RealSite {
    let site = site(Software::Postscreen, |options| {
        options.slots = slots;
        options.greet_wait = greet_wait;
    });
    site.configure("admit = \"on\"").unwrap();
    site
}

fn until_open(site: &RealSite, number: usize) {
    until(&format!("{number} open connections"), 5 * SOON, || {
        Ok((gate(site)?["open"] == number).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error}: {}", gate(site).unwrap()));
}

fn until_looked_up(site: &RealSite, number: usize) {
    until(&format!("{number} look-ups"), 5 * SOON, || {
        let log = std::fs::read_to_string(site.path("mail.log"))?;
        let looked_up = |line: &&str| line.contains(" listed by domain ");
        let count = log.lines().filter(looked_up).count();
        Ok((count >= number).then_some(()))
    })
    .unwrap();
}

#[test]
fn nobody_is_refused_while_two_hundred_idle_clients_are_half_of_the_slots() {
    // 6 s for the greeting: postscreen lets a listed client pass if the blocklist has
    // not answered within that time.
    let site = gated(400, 6);
    let _daemon = site.run().unwrap();
    // Listed clients stay with postscreen after the time for the greeting.
    let mut idle_clients = Vec::new();
    for host in 1..=200 {
        idle_clients.push(idle(&site, &format!("100.64.66.{host}")));
        // If all clients came at once, postscreen's look-ups would take too long.
        if host % 20 == 0 {
            until_looked_up(&site, host);
        }
    }
    until_open(&site, 200);
    let strangers = (70..90).map(|net| format!("100.{net}.1.1"));
    let strangers: Vec<_> = strangers.collect();
    let strangers: Vec<_> = strangers.iter().map(String::as_str).collect();
    with_all(&strangers, |source| deliver(&site, source).unwrap());
    assert_eq!(gate(&site).unwrap()["refused"], json!([0, 0, 0]));
    until_open(&site, 200);
}

#[test]
fn clients_that_were_handed_to_smtpd_take_no_slot() {
    // On a busy machine, the gate may count a connection also as a SYN for a moment, so
    // the slots suffice for twice the clients that come at once.
    let site = gated(20, 1);
    let _daemon = site.run().unwrap();
    let mut idle_clients = Vec::new();
    for net in [70, 71, 72, 73] {
        let sources = (1..=5).map(|number| format!("100.{net}.{number}.1"));
        let sources = sources.chain([format!("2001:db8:64:{net}::1")]);
        let clients: Vec<_> = sources.map(|source| idle(&site, &source)).collect();
        for mut client in clients {
            assert_eq!(client.read_reply().unwrap().code, 220);
            idle_clients.push(client);
        }
        until_open(&site, 0);
    }
    wait_for_sessions(&site, 24, SOON).unwrap();
    deliver(&site, CLEAN).unwrap();
    assert_eq!(gate(&site).unwrap()["refused"], json!([0, 0, 0]));
}
