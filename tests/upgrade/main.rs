//! Pins of every older version are upgraded while traffic arrives, and no SYN
//! of a blocked source passes in the meantime.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod old_filter;
mod site;
mod v1;
mod v2;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aya::maps::{HashMap, Map, MapData};
use spamdrop::clock;
use spamdrop::kernel::attach::{attach, detach, linked};
use spamdrop::kernel::blocklist::migrate::VERSIONS;
use spamdrop::kernel::blocklist::pins::{self, Pinned, pinned};
use spamdrop::kernel::blocklist::{Blocklist, GateMaps};
use spamdrop::lock::WriteLock;
use spamdrop_common::abi::{ABI_VERSION, MAPS};
use spamdrop_common::counter::Reason;
use spamdrop_common::entry::{ORIGIN_HAND, ORIGIN_LOG, SEALED};
use spamdrop_common::gate::KnownSender;
use spamdrop_common::names;
use spamdrop_core::target::Target;
use spamdrop_lab::host::Host;
use spamdrop_lab::wait::until;

use site::{
    BLOCKED, BLOCKED6, CIDR, CLEAN, FILLERS, KNOWN, PLAN, Site, TTL, Traffic, create, filler,
    pin_dir,
};

#[test]
fn no_blocked_syn_gets_through_an_upgrade_and_everything_is_there_after_it() {
    for version in VERSIONS {
        let site = Site::new(version);
        let clean = Traffic::start(&site.client, CLEAN);
        let seen = || Ok((site.segments() > 0).then_some(()));
        until("a clean SYN to be seen", Duration::from_secs(5), seen).unwrap();
        drop(clean);
        let blocked = Traffic::start(&site.client, BLOCKED);
        let before = site.segments();
        let attached = site.attach(&["eth0"]).unwrap();
        assert!(attached[0].replaced);
        blocked.send(2_000);
        let sent = blocked.sent.load(Ordering::Relaxed);
        let old_expiry = site.old.expires();
        assert_eq!(site.segments(), before, "of {sent} SYNs some got through");
        assert_eq!(site.pinned(), Pinned::Current);
        let maps = format!("v{ABI_VERSION}");
        assert_eq!(site.files(), ["link_eth0", "link_eth2", "netns", &maps]);
        // The other interface was upgraded as well, so it does not use the old
        // maps.
        let links = site.server.run(|| linked(pin_dir()).unwrap());
        assert_eq!(links[0].program_id, links[1].program_id);
        drop(blocked);
        check_entries(&site, old_expiry);
        check_the_rest(&site);
    }
}

fn check_entries(site: &Site, old_expiry: u64) {
    let list = site.server.run(|| Blocklist::open(pin_dir()).unwrap());
    let (mut fillers, mut others) = (0, 0);
    list.for_each(|found| {
        let entry = found.entry;
        if found.target == Target::from(IpAddr::V4(BLOCKED)) {
            assert!(entry.expires.ns() >= old_expiry, "a slide was lost");
            assert_eq!((entry.flags, entry.ttl_s), (ORIGIN_LOG | SEALED, TTL));
            others += 1;
        } else if found.target == Target::from(IpAddr::V6(BLOCKED6)) {
            assert_eq!(entry.expires, site.expected.now.plus_seconds(600));
            assert_eq!(entry.flags, SEALED);
            others += 1;
        } else if let Target::V4(key) = found.target {
            let number = u32::from_be_bytes(key) - filler(0).to_bits();
            let uncounted = if number == 0 { 5 } else { 0 };
            assert_eq!(entry.hits, number + uncounted);
            assert_eq!((entry.flags, entry.refreshes), (ORIGIN_HAND, 3));
            fillers += 1;
        }
    })
    .unwrap();
    assert_eq!((fillers, others), (FILLERS, 2));
    let origin = list.origin(IpAddr::V4(BLOCKED)).unwrap().unwrap();
    assert_eq!(origin.used_text(), b"511");
    assert_eq!(origin.last_offence, site.expected.now);
    assert_eq!((origin.offences, origin.release_pending), (2, 1));
    assert_eq!(origin.first_blocked.get(), 1_795_000_000);
}

fn check_the_rest(site: &Site) {
    let list = site.server.run(|| Blocklist::open(pin_dir()).unwrap());
    let mut prefixes = list.blocked_prefixes(site.expected.now).unwrap();
    prefixes.sort();
    let shown: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["203.0.113.0/24", "2001:db8:bad::/48"]);
    let covering = list.covering(IpAddr::V4(CIDR), site.expected.now).unwrap();
    assert_eq!(covering[0].entry.hits, 11);
    let mut allowed = list.allowed().unwrap();
    allowed.sort();
    let shown: Vec<String> = allowed.iter().map(|(net, _)| net.to_string()).collect();
    assert_eq!(shown, ["192.0.2.77/32", "2001:db8:bad::/64"]);
    assert!(allowed.iter().all(|(_, automatic)| *automatic));
    let settings = list.settings().unwrap();
    assert_eq!(settings.ports, [25, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!((settings.cidrs4, settings.cidrs6), (1, 1));
    assert_eq!(settings.addresses6, 0);
    assert!(settings.epoch < u32::MAX, "nothing would be cached");
    assert!(settings.unit_ns > clock::tick_ns(), "the units are ticks");
    let counters = list.counters().unwrap();
    // Version 1 applied to every destination, and had no pauses.
    let counted_before = |reason: &&Reason| ![Reason::OtherHost, Reason::Paused].contains(reason);
    for &reason in Reason::ALL.iter().filter(counted_before) {
        let counted = counters.get(reason);
        // The new program has counted packets in addition.
        assert!(counted >= site.expected.per_counter, "{reason:?} {counted}");
    }
    assert!(counters.sealed_dropped > site.expected.per_counter);
    let gate = site.server.run(|| GateMaps::open(pin_dir()).unwrap());
    let stats = gate.stats().unwrap();
    assert_eq!((stats.admitted, stats.known_or_allowed), (40, 10));
    assert_eq!(stats.starvation_admits, 2);
    assert_eq!(stats.refused, [1, 2, 3]);
    let known = Target::from(IpAddr::V4(KNOWN));
    let verdict = gate.verdict(known).unwrap().unwrap();
    assert_eq!(verdict.until, site.expected.now.plus_seconds(600));
    for name in [names::KNOWN, names::KNOWN_NETS] {
        let pin = pins::maps_dir(pin_dir()).join(name);
        let data = site.server.run(|| MapData::from_pin(pin).unwrap());
        let map: HashMap<_, [u8; 8], KnownSender> = Map::HashMap(data).try_into().unwrap();
        assert_eq!(map.iter().count(), 1, "{name}");
    }
}

#[test]
fn commands_name_the_upgrade_and_detach_leaves_nothing() {
    for version in VERSIONS {
        let site = Site::new(version);
        let error = site
            .server
            .run(|| Blocklist::open(pin_dir()).err().unwrap());
        let text = error.to_string();
        let wanted = "`spamdrop run` or `spamdrop attach IFACE` upgrades them";
        assert!(text.contains(wanted), "{text}");
        assert_eq!(site.pinned(), Pinned::Older(version.version));
        site.detach();
        assert!(site.server.run(|| !pin_dir().exists()));
        let seen = || Ok((site.segments() > 0).then_some(()));
        let _blocked = Traffic::start(&site.client, BLOCKED);
        until("the filter to be gone", Duration::from_secs(5), seen).unwrap();
    }
}

#[test]
fn an_upgrade_that_fails_or_is_cut_short_leaves_the_old_filter_in_force() {
    let site = Site::new(&VERSIONS[0]);
    let blocked = Traffic::start(&site.client, BLOCKED);
    let before = site.segments();
    let files = site.files();
    // The kernel makes no map for 0 entries.
    let error = site.attach_with_capacity(0).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the kernel refuses the filter's maps"),
        "{error:#}"
    );
    assert_eq!(site.files(), files);
    // The state after crashes: unfinished new maps beside the old ones.
    site.server.run(|| {
        for dir in ["new", &format!("v{ABI_VERSION}")] {
            let dir = pin_dir().join(dir);
            std::fs::create_dir(&dir).unwrap();
            for spec in MAPS {
                create(&spec, &dir);
            }
        }
    });
    assert_eq!(site.pinned(), Pinned::Older(1));
    site.attach(&["eth0"]).unwrap();
    blocked.send(500);
    assert_eq!(site.segments(), before);
    assert_eq!(site.pinned(), Pinned::Current);
    check_entries(&site, site.old.expires());
}

#[test]
fn maps_that_are_not_what_their_version_says_are_left_alone() {
    let site = Site::new(&VERSIONS[0]);
    site.server.run(|| {
        let path = pin_dir().join("blocked4");
        std::fs::remove_file(&path).unwrap();
        let mut odd = VERSIONS[0].maps[0];
        odd.value_size = 40;
        create(&odd, pin_dir());
    });
    let files = site.files();
    let error = site.attach(&["eth0"]).unwrap_err().to_string();
    let wanted = "/sys/fs/bpf/spamdrop/blocked4 has a value of 40 instead of 24 bytes";
    assert!(error.contains(wanted), "{error}");
    assert_eq!(site.files(), files);
}

#[test]
fn pins_of_a_newer_version_are_left_alone_until_detach() {
    let newer = ABI_VERSION + 1;
    let host = Host::new("newer").unwrap();
    let run_dir = tempfile::tempdir().unwrap();
    let path: PathBuf = run_dir.path().to_owned();
    host.run(move || {
        let lock = WriteLock::acquire(&path).unwrap();
        let dir = pin_dir().join(format!("v{newer}"));
        std::fs::create_dir_all(&dir).unwrap();
        for spec in MAPS {
            create(&spec, &dir);
        }
        assert_eq!(pinned(pin_dir()).unwrap(), Pinned::Newer(newer));
        let attached = attach(&lock, pin_dir(), &["lo".into()], PLAN).map(|_| ());
        let opened = Blocklist::open(pin_dir()).map(|_| ());
        for error in [attached.unwrap_err(), opened.unwrap_err()] {
            let text = error.to_string();
            assert!(
                text.contains(&format!("of a newer spamdrop (layout v{newer}")),
                "{text}"
            );
            assert!(text.contains("`spamdrop detach`"), "{text}");
        }
        assert!(dir.join("blocked4").exists());
        assert!(pins::exist(pin_dir()).unwrap());
        detach(&lock, pin_dir()).unwrap();
        assert!(!pin_dir().exists());
    });
}
