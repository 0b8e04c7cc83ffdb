//! Interfaces come, go, are renamed, moved, and taken up and down at random.
//! `status`, `ip` and a probe packet always agree.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use spamdrop_lab::forger::Forger;

use super::interfaces::{configure, ip, states};
use super::*;

const NAMES: [&str; 6] = ["eth1", "eth2", "eth3", "lan1", "lan2", "lan3"];
const WANTED: [&str; 4] = ["eth0", "eth1", "eth2", "eth3"];
/// Number of interfaces beside eth0.
const CARDS: usize = 3;
/// Number of changes in a sequence. Before each sequence, all interfaces but eth0 are
/// deleted.
const SEQUENCE: usize = 5;

/// The interfaces of the server and whether each has an XDP program.
fn links(site: &Site) -> BTreeMap<String, bool> {
    let text = site.server.exec(["ip", "-j", "link", "show"]).unwrap();
    let links: Value = serde_json::from_str(&text).unwrap();
    let links = links.as_array().unwrap().iter();
    let name = |link: &Value| link["ifname"].as_str().unwrap().to_owned();
    links
        .map(|link| (name(link), link["xdp"]["prog"]["id"].is_u64()))
        .collect()
}

/// The first difference between `status` and the interfaces.
fn disagreement(site: &Site, wanted: &[&str]) -> Option<String> {
    let (states, links) = (states(site), links(site));
    for (name, has_filter) in &links {
        if *has_filter != wanted.contains(&name.as_str()) {
            return Some(format!("{name} has a filter: {has_filter}"));
        }
    }
    for name in wanted {
        let state = if links.contains_key(*name) {
            "native"
        } else {
            "absent"
        };
        if !states.contains(&format!("{name} {state}")) {
            return Some(format!("{name} is not {state} in {states:?}"));
        }
    }
    None
}

/// An interface of the server; its peer is in the other host.
struct Card {
    name: &'static str,
    is_up: bool,
    number: u8,
}

impl Card {
    fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 9, self.number, 1)
    }

    fn is_wanted(&self) -> bool {
        WANTED.contains(&self.name)
    }

    fn plug(site: &Site, name: &'static str, number: u8) -> Self {
        let peer = format!("p{number}");
        let world = site.world.tid();
        ip(
            site,
            &format!("link add {name} type veth peer name {peer} netns {world}"),
        );
        for command in [
            format!("address add 10.9.{number}.2/24 dev {peer}"),
            format!("link set {peer} up"),
            // A fixed neighbour, because an interface that is down answers no ARP.
            format!("neigh add 10.9.{number}.1 lladdr 02:00:00:00:00:01 dev {peer}"),
        ] {
            let words = ["ip"].into_iter().chain(command.split(' '));
            site.world.exec(words).unwrap();
        }
        Self {
            name,
            is_up: false,
            number,
        }
    }
}

/// Number of packets that the filter dropped.
fn dropped(site: &Site) -> u64 {
    let text = site.spamdrop(&["stats", "--json"]).unwrap();
    let counters: Value = serde_json::from_str(&text).unwrap();
    let count = |name: &str| counters[name].as_u64().unwrap();
    count("open_dropped") + count("sealed_dropped")
}

/// Sends a packet of a blocked source to each interface. Fails unless exactly
/// those to the wanted interfaces that are up are dropped.
fn probe(site: &Site, forger: &Forger, cards: &[Card]) -> Result<(), String> {
    let before = dropped(site);
    let (wanted, others): (Vec<&Card>, Vec<&Card>) = cards
        .iter()
        .partition(|card| card.is_wanted() && card.is_up);
    for card in others.iter().chain(&wanted) {
        let sent = forger.syn_to(card.address(), ZOMBIE.parse().unwrap(), 4000, 64);
        // The peer of an interface that is down has no carrier.
        assert!(sent.is_ok() || !card.is_up, "{}: {sent:?}", card.name);
    }
    let reached = until("the probes", SOON / 4, || {
        Ok((dropped(site) >= before + wanted.len() as u64).then_some(()))
    });
    let count = dropped(site) - before;
    match reached.is_ok() && count == wanted.len() as u64 {
        true => Ok(()),
        false => Err(format!("{count} probes dropped, not {}", wanted.len())),
    }
}

fn take_step(site: &Site, cards: &mut Vec<Card>, number: u8, random: &mut fastrand::Rng) -> String {
    let is_used = |cards: &[Card], name: &str| cards.iter().any(|card| card.name == name);
    let name = NAMES[random.usize(..NAMES.len())];
    if cards.len() < CARDS && !is_used(cards, name) {
        cards.push(Card::plug(site, name, number));
        return format!("add {name}");
    }
    let index = random.usize(..cards.len());
    let old = cards[index].name;
    match random.u8(..7) {
        0 => {
            cards.remove(index);
            ip(site, &format!("link delete {old}"));
            format!("delete {old}")
        }
        1 => {
            cards.remove(index);
            let world = site.world.tid();
            ip(
                site,
                &format!("link set {old} netns {world} name x{number}"),
            );
            format!("move {old}")
        }
        2 | 3 if !is_used(cards, name) => {
            cards[index].name = name;
            ip(site, &format!("link set {old} name {name}"));
            format!("rename {old} to {name}")
        }
        4 => {
            cards[index].is_up = false;
            ip(site, &format!("link set {old} down"));
            format!("{old} down")
        }
        _ => {
            cards[index].is_up = true;
            ip(site, &format!("link set {old} up"));
            format!("{old} up")
        }
    }
}

/// Deletes the interfaces that were moved to the other host, because later interfaces
/// may get the same numbers in their names.
fn delete_moved(site: &Site) {
    let text = site.world.exec(["ip", "-j", "link", "show"]).unwrap();
    let links: Value = serde_json::from_str(&text).unwrap();
    let names = links.as_array().unwrap().iter();
    let names = names.map(|link| link["ifname"].as_str().unwrap());
    for name in names.filter(|name| name.starts_with('x')) {
        site.world.exec(["ip", "link", "delete", name]).unwrap();
    }
}

#[test]
fn status_ip_and_a_probe_agree_after_every_change() {
    let site = site(|_| {});
    site.configure("addresses = \"any\"").unwrap();
    configure(&site, "\"eth0\", \"eth1\", \"eth2\", \"eth3\"");
    let _daemon = site.run().unwrap();
    site.spamdrop(&["add", ZOMBIE, "--for", "1d"]).unwrap();
    let forger = Forger::new(&site).unwrap();
    let sequences = if std::env::var_os("SPAMDROP_FULL").is_some() {
        200
    } else {
        10
    };
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut cards, mut steps) = (Vec::new(), Vec::new());
    for step in 0..sequences * SEQUENCE {
        if step % SEQUENCE == 0 {
            for card in cards.drain(..) {
                let Card { name, .. } = card;
                ip(&site, &format!("link delete {name}"));
            }
            delete_moved(&site);
            steps.clear();
        }
        let number = u8::try_from(step % 250).unwrap();
        steps.push(take_step(&site, &mut cards, number, &mut random));
        let start = Instant::now();
        while let Some(difference) =
            disagreement(&site, &WANTED).or_else(|| probe(&site, &forger, &cards).err())
        {
            assert!(
                start.elapsed() < SOON,
                "seed {seed}: {difference} after {steps:#?}"
            );
        }
    }
}
