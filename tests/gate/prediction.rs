//! Compares the prediction of `why` for the next SYN of a source with the filter.

use spamdrop_core::next_syn::Fate;
use spamdrop_core::pause::Layer;

use super::*;

const BLOCKED: &str = "198.51.100.66";
const BLOCKED6: &str = "2001:db8:7::66";
const ALONE6: &str = "2001:db8:7::66/128";
const PREFIX: &str = "198.51.100.0/24";
const PREFIX6: &str = "2001:db8:7::/56";

impl Site {
    fn predict(&self, source: &str, ttl: u8) -> Reason {
        let addr: IpAddr = source.parse().unwrap();
        let facts = self.filter.list.source_facts(&self.gate_maps, addr);
        facts.unwrap().next_syn(ttl, clock::monotonic_ns())
    }

    /// Predicts the fate of a SYN, sends it, and compares.
    fn fate(&mut self, source: &str, ttl: u8) -> Fate {
        let predicted = self.predict(source, ttl);
        let (action, reason) = self.syn(source, ttl);
        assert_eq!(predicted, reason, "{source}");
        let fate = Fate::from_reason(predicted);
        let is_dropped = matches!(fate, Fate::Dropped | Fate::Refused);
        assert_eq!(action == DROP, is_dropped, "{source}: {reason:?}");
        fate
    }

    fn allow(&mut self, nets: &[&str]) {
        let nets = nets.iter().map(|net| (net.parse().unwrap(), false));
        let nets: Vec<(IpNet, bool)> = nets.collect();
        let Filter { list, turn, .. } = &mut self.filter;
        list.allow_exactly(turn, &nets).unwrap();
    }

    fn pause(&mut self, layers: &[Layer]) {
        let until = clock::monotonic_ns().plus(Duration::from_secs(60));
        let Filter { list, turn, .. } = &mut self.filter;
        list.end_pauses(turn, clock::monotonic_ns()).unwrap();
        list.pause(turn, layers, until).unwrap();
    }
}

#[test]
fn each_fate_is_predicted() {
    let mut site = Site::new();
    // A stranger while nobody waits, and while slots are in use.
    site.open(0);
    assert_eq!(site.fate(STRANGER, UNIX), Fate::Accepted);
    site.open(LIMITS[1]);
    assert_eq!(site.fate(STRANGER, UNIX), Fate::Refused);
    assert_eq!(site.fate(NEIGHBOUR, UNIX), Fate::Accepted);
    site.open(1_000);
    assert_eq!(site.fate(STRANGER, WINDOWS), Fate::Refused);
    for known in [KNOWN, KNOWN6] {
        assert_eq!(site.fate(known, WINDOWS), Fate::Accepted);
    }
    // A stranger that has waited longest.
    let until = clock::monotonic_ns().plus(Duration::from_secs(60));
    site.gate_maps
        .admit_next(STRANGER.parse().unwrap(), until)
        .unwrap();
    assert_eq!(site.fate(STRANGER, UNIX), Fate::Accepted);
    assert_eq!(site.fate(STRANGER, UNIX), Fate::Refused);
    // Blocked: open, then sealed, by its prefix, expired.
    site.filter.add(BLOCKED, 600, 0, false);
    assert_eq!(site.fate(BLOCKED, UNIX), Fate::Dropped);
    site.filter.add(BLOCKED, 600, 0, true);
    for _ in 0..2 {
        assert_eq!(site.fate(BLOCKED, UNIX), Fate::Dropped);
    }
    site.filter.add(PREFIX, 600, 0, true);
    assert_eq!(site.fate(STRANGER, UNIX), Fate::Dropped);
    site.filter.add(BLOCKED6, 600, 0, true);
    assert_eq!(site.fate("2001:db8:7::67", UNIX), Fate::Dropped);
    site.filter.add(BLOCKED6, 10, 11, true);
    assert_eq!(site.fate("2001:db8:7::67", UNIX), Fate::Refused);
    // Paused, allowed.
    site.pause(&[Layer::Drop]);
    assert_eq!(site.fate(BLOCKED, UNIX), Fate::Refused);
    site.pause(&[Layer::Drop, Layer::Gate]);
    assert_eq!(site.fate(BLOCKED, UNIX), Fate::Accepted);
    site.pause(&[Layer::Release]);
    site.allow(&[PREFIX]);
    for source in [BLOCKED, STRANGER] {
        assert_eq!(site.fate(source, UNIX), Fate::Accepted);
    }
    // Listed: at the gate, then answered by the responder.
    site.allow(&[]);
    let listed = "203.0.113.9";
    site.judge(listed, Standing::Listed);
    site.open(LIMITS[2]);
    assert_eq!(site.fate(listed, UNIX), Fate::Refused);
    site.tend(0, |gate| gate.responders = RESPONDER_IPV4);
    assert_eq!(site.fate(listed, UNIX), Fate::Answered);
    site.pause(&[Layer::Responder]);
    assert_eq!(site.fate(listed, UNIX), Fate::Accepted);
    // Nobody waits at a gate that only observes, is off, or was written too long ago.
    for mode in [GateMode::Observe, GateMode::Off] {
        site.tend(1_000, |gate| gate.mode = mode as u32);
        assert_eq!(site.fate("203.0.113.10", WINDOWS), Fate::Accepted);
    }
    site.tend(1_000, |gate| {
        gate.written = gate.written.minus(FRESH_FOR + Duration::from_millis(100));
    });
    assert_eq!(site.fate("203.0.113.10", WINDOWS), Fate::Accepted);
    site.filter.configure(&[465], Refresh::Packet);
    assert_eq!(site.fate(BLOCKED, UNIX), Fate::Accepted);
}

/// Makes a random change to the filter's maps.
fn change(site: &mut Site, random: &mut fastrand::Rng) {
    let targets = [BLOCKED, BLOCKED6, ALONE6, PREFIX, PREFIX6, KNOWN, KNOWN6];
    let target_text = targets[random.usize(..targets.len())];
    match random.u8(..9) {
        0 => site.filter.add(target_text, 600, 0, random.bool()),
        // The entry expired 3 s ago, although a prefix's end is rounded up and the
        // filter's clock may be a tick behind.
        1 => site.filter.add(target_text, 10, 13, random.bool()),
        2 => {
            let Filter { list, turn, .. } = &mut site.filter;
            list.remove(turn, target(target_text)).unwrap();
        }
        3 => site.allow(match random.u8(..4) {
            0 => &["198.51.100.64/26", "2001:db8:7::66/128"],
            _ => &[],
        }),
        4 => {
            let all = [Layer::Drop, Layer::Gate, Layer::Responder];
            let layers: Vec<Layer> = all.into_iter().filter(|_| random.u8(..4) == 0).collect();
            site.pause(&layers);
        }
        5 => {
            let known = [KNOWN, KNOWN6, BLOCKED, BLOCKED6, ALONE6];
            let known = known.into_iter().filter(|_| random.bool());
            let known: Vec<Target> = known.map(target).collect();
            site.gate_maps.know_exactly(known).unwrap();
        }
        6 => {
            let source = [BLOCKED, BLOCKED6, STRANGER, KNOWN6][random.usize(..4)];
            let all = [
                Standing::Listed,
                Standing::Unlisted,
                Standing::Unnamed,
                Standing::Confirmed,
            ];
            site.judge(source, all[random.usize(..4)]);
        }
        7 => site.gate_maps.clear_verdicts().unwrap(),
        _ => {
            let source = [BLOCKED, STRANGER, BLOCKED6][random.usize(..3)];
            let until = clock::monotonic_ns().plus(Duration::from_secs(60));
            let source = source.parse().unwrap();
            site.gate_maps.admit_next(source, until).unwrap();
        }
    }
}

#[test]
fn whatever_the_maps_hold_the_filter_does_what_is_predicted() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut site = Site::new();
    let sources = [BLOCKED, BLOCKED6, "2001:db8:7::67", STRANGER, KNOWN, KNOWN6];
    let mut fates = std::collections::BTreeMap::new();
    for step in 0..2_000 {
        change(&mut site, &mut random);
        let open = random.u32(20..36);
        let mode = [GateMode::On, GateMode::On, GateMode::Observe, GateMode::Off];
        let mode = mode[random.usize(..4)];
        let responders = random.u32(..4);
        site.tend(open, |gate| {
            gate.mode = mode as u32;
            gate.responders = responders;
        });
        let source = sources[random.usize(..sources.len())];
        let ttl = [UNIX, WINDOWS][random.usize(..2)];
        let predicted = site.predict(source, ttl);
        let (_, reason) = site.syn(source, ttl);
        assert_eq!(predicted, reason, "seed {seed}, step {step}: {source}");
        *fates.entry(reason.name()).or_insert(0) += 1;
    }
    eprintln!("{fates:?}");
    // Reasons for other ports and for packets that are no SYNs cannot occur.
    assert!(fates.len() >= 9, "seed {seed}: {fates:?}");
}
