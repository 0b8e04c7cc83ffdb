//! The filter's cache of sources that it dropped a moment ago. It must have no
//! effect but a faster drop.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use aya::maps::{Array, HashMap, Map, MapData};
use spamdrop::clock;
use spamdrop::kernel::blocklist::pins;
use spamdrop_common::action::{SLACK, answer_ns};
use spamdrop_common::counter::Reason;
use spamdrop_common::entry::{Entry, Origin};
use spamdrop_common::names::{BLOCKED4, RECENT_DROPS4};
use spamdrop_common::recent_drop::{Line, Place, RecentDrop, SLOTS, line_bits};
use spamdrop_common::settings::Refresh;
use spamdrop_common::time::MonotonicNs;
use spamdrop_core::owners::OwnerBit;
use spamdrop_core::target::Target;
use spamdrop_core::term::Term;
use spamdrop_filter::{CAPACITY, DROP, Filter, PASS, pin_dir};
use spamdrop_lab::frame::{ACK, FrameSpec, SYN, tcp_frame};
use spamdrop_lab::wait::until;

const LISTED: &str = "192.0.2.1";
/// A source that no test looks at.
const OTHER: &str = "192.0.2.200";
const TTL: u32 = 600;
const DROPPED: (u32, Reason) = (DROP, Reason::SealedDropped);
/// The shown expiry of a cached entry is early by less than this: the cache counts time
/// in units of up to 256 ms.
const EXACT: Duration = Duration::from_millis(700);
/// The ttl in seconds of an entry that the cache answers for two seconds.
const SHORT: u32 = 64;
/// Tolerance for the longest tick (HZ=100) and a busy machine.
const LATE: Duration = Duration::from_millis(510);

fn syn(source: &str) -> Vec<u8> {
    frame(source, SYN)
}

fn frame(source: &str, flags: u8) -> Vec<u8> {
    tcp_frame(&FrameSpec {
        flags,
        ..FrameSpec::syn(source.parse().unwrap(), server())
    })
}

fn server() -> IpAddr {
    Ipv4Addr::new(198, 51, 100, 25).into()
}

/// Returns a filter that caches its drops. It caches none in the unit of time in which
/// it was configured, so this function waits for the next one.
fn new() -> Filter {
    let mut filter = Filter::new();
    filter.add(OTHER, TTL, 0, true);
    wait_for_the_cache(&mut filter, OTHER);
    filter
}

/// Drops packets of a source until the cache has the source.
fn wait_for_the_cache(filter: &mut Filter, source: &str) {
    let target: Target = source.parse().unwrap();
    until("a drop to be cached", Duration::from_secs(2), || {
        assert_eq!(filter.run(&syn(source)), DROPPED);
        let cached = filter.list.recently_dropped(usize::MAX).unwrap();
        Ok(cached.contains(&target).then_some(()))
    })
    .unwrap();
}

/// Returns a filter that has just dropped a sealed source three times, and has it in
/// its cache.
fn heated() -> Filter {
    heated_for(TTL)
}

fn heated_for(ttl_s: u32) -> Filter {
    let mut filter = new();
    filter.add(LISTED, ttl_s, 0, true);
    for _ in 0..3 {
        assert_eq!(filter.run(&syn(LISTED)), DROPPED);
    }
    filter
}

/// The number of the cache line for a source.
fn cache_line(addr: &Ipv4Addr) -> u32 {
    Place::from_source(addr.octets(), line_bits(CAPACITY.v4)).line
}

/// Opens the block map directly, so that spamdrop's own code does not clear the
/// cache.
fn blocked4(filter: &Filter) -> HashMap<MapData, [u8; 4], Entry> {
    let pin = pins::maps_dir(&pin_dir()).join(BLOCKED4);
    let data = filter.on_host(move || MapData::from_pin(pin).unwrap());
    Map::LruHashMap(data).try_into().unwrap()
}

#[test]
fn a_source_is_remembered_for_a_32nd_of_its_ttl_at_most() {
    for (ttl_s, seconds) in [(4, 1), (SHORT, 2)] {
        let mut filter = heated_for(ttl_s);
        let start = clock::monotonic_ns();
        blocked4(&filter).remove(&[192, 0, 2, 1]).unwrap();
        assert_eq!(filter.run(&syn(LISTED)), DROPPED, "it was not remembered");
        until("the source to be forgotten", Duration::from_secs(5), || {
            Ok((filter.run(&syn(LISTED)) == (PASS, Reason::NotBlocked)).then_some(()))
        })
        .unwrap();
        let after = clock::monotonic_ns().elapsed_since(start);
        let most = Duration::from_secs(seconds) + LATE;
        assert!(after < most, "forgotten after {after:?}");
    }
}

#[test]
fn every_hit_is_counted() {
    let mut filter = heated();
    // More hits than a slot of the cache can count.
    let hits = 3 * u32::from(u16::MAX);
    filter.action(&syn(LISTED), hits);
    assert_eq!(filter.entry(LISTED).hits, 3 + hits);
    let now = clock::monotonic_ns();
    let found = filter.list.covering(LISTED.parse().unwrap(), now).unwrap();
    assert_eq!(found[0].entry.hits, 3 + hits);
}

#[test]
fn sources_that_share_a_line_are_told_apart() {
    let mut filter = new();
    let same = |addr: &Ipv4Addr| cache_line(addr) == 7;
    let all = (0x0a00_0000..).map(Ipv4Addr::from).filter(same);
    let sources: Vec<String> = all.take(2 * SLOTS).map(|addr| addr.to_string()).collect();
    for source in &sources[1..] {
        filter.add(source, TTL, 0, true);
    }
    for round in 1..=3 {
        assert_eq!(filter.run(&syn(&sources[0])), (PASS, Reason::NotBlocked));
        for source in &sources[1..] {
            assert_eq!(filter.run(&syn(source)), DROPPED);
            assert_eq!(filter.entry(source).hits, round, "{source}");
        }
    }
}

#[test]
fn who_is_removed_passes_at_once_and_starts_again_without_hits() {
    let mut filter = heated();
    let target: Target = LISTED.parse().unwrap();
    assert!(filter.list.remove(&filter.turn, target).unwrap());
    assert_eq!(filter.run(&syn(LISTED)), (PASS, Reason::NotBlocked));
    filter.add(LISTED, TTL, 0, true);
    for hits in 0..4 {
        assert_eq!(filter.entry(LISTED).hits, hits);
        assert_eq!(filter.run(&syn(LISTED)), DROPPED);
    }
}

/// The kernel may evict the entry of a source that the cache still drops.
#[test]
fn an_evicted_source_that_is_let_go_passes_at_once() {
    let listed: Target = LISTED.parse().unwrap();
    let let_go: [fn(&mut Filter, Target); 3] = [
        |filter, target| assert!(!filter.list.remove(&filter.turn, target).unwrap()),
        |filter, target| drop(filter.list.remove_hosts(&filter.turn, [target]).unwrap()),
        |filter, target| filter.list.forget_cached(&filter.turn, [&target]).unwrap(),
    ];
    for let_go in let_go {
        let mut filter = heated();
        blocked4(&filter).remove(&[192, 0, 2, 1]).unwrap();
        assert_eq!(filter.run(&syn(LISTED)), DROPPED, "it was not cached");
        let_go(&mut filter, listed);
        assert_eq!(filter.run(&syn(LISTED)), (PASS, Reason::NotBlocked));
    }
}

#[test]
fn a_flush_and_the_allowlist_count_at_once() {
    let mut filter = heated();
    let allowed = [("192.0.2.1/32".parse().unwrap(), false)];
    filter.list.allow_exactly(&filter.turn, &allowed).unwrap();
    assert_eq!(filter.run(&syn(LISTED)), (PASS, Reason::Allowed));
    filter.list.allow_exactly(&filter.turn, &[]).unwrap();
    wait_for_the_cache(&mut filter, LISTED);
    let now = clock::monotonic_ns();
    filter.flush(now);
    assert_eq!(filter.run(&syn(LISTED)), (PASS, Reason::NotBlocked));
}

/// After each change that raises the epoch, nothing is cached for a while.
#[test]
fn only_what_the_filter_may_have_cached_raises_the_epoch() {
    let mut filter = new();
    let epoch = |filter: &Filter| filter.list.settings().unwrap().epoch;
    filter.add(LISTED, 1, 0, true);
    wait_for_the_cache(&mut filter, LISTED);
    until("the entry to expire", Duration::from_secs(5), || {
        let passed = (PASS, Reason::Expired);
        Ok((filter.run(&syn(LISTED)) == passed).then_some(()))
    })
    .unwrap();
    let listed: Target = LISTED.parse().unwrap();
    // For user space, a slot is valid for one unit of time longer than for the filter,
    // because the filter's clock may be behind.
    until("the slot to be invalid", Duration::from_secs(2), || {
        let cached = filter.list.recently_dropped(usize::MAX).unwrap();
        Ok((!cached.contains(&listed)).then_some(()))
    })
    .unwrap();
    let before = epoch(&filter);
    filter.add(LISTED, TTL, 0, true);
    filter.add("2001:db8::1", TTL, 0, true);
    for absent in ["192.0.2.99", "2001:db8::1", "2001:db8::2", "203.0.113.0/24"] {
        let _ = filter.list.remove(&filter.turn, absent.parse().unwrap());
    }
    assert_eq!(epoch(&filter), before);
    assert!(filter.list.remove(&filter.turn, listed).unwrap());
    assert!(epoch(&filter) > before);
}

#[test]
fn an_entry_that_opens_again_lets_its_session_pass_at_once() {
    let mut filter = heated();
    filter.add(LISTED, TTL, 0, false);
    assert_eq!(
        filter.run(&frame(LISTED, ACK)),
        (PASS, Reason::OpenPassed),
        "added again"
    );
    let mut filter = heated();
    offend(&mut filter);
    assert_eq!(
        filter.run(&frame(LISTED, ACK)),
        (PASS, Reason::OpenPassed),
        "offended again"
    );
}

/// Blocks the source as a line of the log does.
fn offend(filter: &mut Filter) {
    let term = Term {
        start: clock::monotonic_ns(),
        ttl_s: TTL,
        slides: true,
        hard_limit_s: 0,
    };
    let addr: IpAddr = LISTED.parse().unwrap();
    let (key, owner, origin) = ((addr, addr.into()), OwnerBit::LOG, Origin::default());
    filter
        .list
        .block(&filter.turn, key, owner, term, false, &origin)
        .unwrap();
}

#[test]
fn an_entry_after_an_evicted_one_is_open_and_has_no_hits() {
    let mut filter = heated();
    blocked4(&filter).remove(&[192, 0, 2, 1]).unwrap();
    offend(&mut filter);
    assert_eq!(filter.run(&frame(LISTED, ACK)), (PASS, Reason::OpenPassed));
    assert_eq!(filter.entry(LISTED).hits, 1);
}

/// New blocks of others must not cost a source its hits, which only the cache has.
#[test]
fn a_new_block_of_another_address_leaves_the_cache_as_it_is() {
    let mut filter = heated();
    let hits = |filter: &Filter| {
        let now = clock::monotonic_ns();
        let found = filter.list.covering(LISTED.parse().unwrap(), now).unwrap();
        found[0].entry.hits
    };
    let before = hits(&filter);
    assert_eq!(before, 3);
    filter.add("192.0.2.201", TTL, 0, true);
    assert_eq!(hits(&filter), before);
    // A new block of the source itself begins without hits.
    filter.add(LISTED, TTL, 0, false);
    assert_eq!(hits(&filter), 0);
    assert_eq!(filter.run(&frame(LISTED, ACK)), (PASS, Reason::OpenPassed));
}

#[test]
fn a_cached_source_is_dropped_only_on_its_way_to_destinations_that_count() {
    let to = |last| {
        tcp_frame(&FrameSpec::syn(
            LISTED.parse().unwrap(),
            Ipv4Addr::new(198, 51, 100, last).into(),
        ))
    };
    let passed = (PASS, Reason::OtherHost);
    let mut filter = heated();
    // The packets go to more destinations than the filter remembers.
    filter.apply_only_to(&["198.51.100.16/28"]);
    for last in (0..64).chain(0..64) {
        let expected = if last & !15 == 16 { DROPPED } else { passed };
        assert_eq!(filter.run(&to(last)), expected, "{last}");
    }
    filter.apply_only_to(&["198.51.100.24/29", "198.51.100.32/29"]);
    for last in (0..64).chain(0..64) {
        let expected = match last & !7 {
            24 | 32 => DROPPED,
            _ => passed,
        };
        assert_eq!(filter.run(&to(last)), expected, "{last}");
    }
    // The cache answers again after the change.
    wait_for_the_cache(&mut filter, LISTED);
    assert_eq!(filter.run(&to(32)), DROPPED);
    filter.apply_only_to(&["198.51.100.24/29"]);
    assert_eq!(filter.run(&to(32)), passed);
}

#[test]
fn ports_that_are_no_longer_watched_pass_at_once() {
    let mut filter = heated();
    filter.configure(&[465], Refresh::Packet);
    assert_eq!(filter.run(&syn(LISTED)), (PASS, Reason::OtherPort));
}

#[test]
fn a_fixed_entry_expires_on_time_under_fire() {
    let mut filter = new();
    // The cache would remember the source half a second longer than the block
    // lasts.
    let start = clock::monotonic_ns().minus(Duration::from_millis(500));
    let term = Term {
        start,
        ttl_s: 1,
        slides: false,
        hard_limit_s: 0,
    };
    filter.add_for(LISTED, term, true);
    until("the entry to expire", Duration::from_secs(5), || {
        let before = clock::monotonic_ns();
        let (_, reason) = filter.run(&syn(LISTED));
        // The filter's clock may be a tick behind, but never ahead.
        assert!(reason == Reason::SealedDropped || clock::monotonic_ns() > start.plus_seconds(1));
        assert!(reason == Reason::Expired || before <= start.plus(Duration::from_millis(1_010)));
        Ok((reason == Reason::Expired).then_some(()))
    })
    .unwrap();
}

#[test]
fn a_source_under_fire_slides_as_it_should() {
    let mut filter = heated_for(SHORT);
    let addr: IpAddr = LISTED.parse().unwrap();
    let start = clock::monotonic_ns();
    until("five seconds of hits", Duration::from_secs(15), || {
        let before = clock::monotonic_ns();
        assert_eq!(filter.run(&syn(LISTED)), DROPPED);
        let after = clock::monotonic_ns();
        let stored = blocked4(&filter).get(&[192, 0, 2, 1], 0).unwrap().expires;
        let early = before.plus_seconds(SHORT).elapsed_since(stored);
        let most = Duration::from_nanos(answer_ns(SHORT)) + Duration::from_millis(20);
        assert!(early <= most, "{early:?} too early");
        let shown = filter.list.covering(addr, after).unwrap()[0].entry.expires;
        assert!(shown >= stored, "a slide was lost");
        let early = before.plus_seconds(SHORT).elapsed_since(shown);
        assert!(early < EXACT, "shown {early:?} too early");
        let late = shown.elapsed_since(after.plus_seconds(SHORT));
        assert_eq!(late, Duration::ZERO, "shown {late:?} too late");
        Ok((before > start.plus_seconds(5)).then_some(()))
    })
    .unwrap();
    assert!(filter.entry(LISTED).refreshes >= 2);
}

/// The time in a slot wraps around, so that a very old slot would seem recent again.
#[test]
fn a_sweep_empties_the_slots_of_long_ago() {
    let mut filter = heated();
    let pin = pins::maps_dir(&pin_dir()).join(RECENT_DROPS4);
    let data = filter.on_host(move || MapData::from_pin(pin).unwrap());
    let mut map: Array<_, Line> = Map::Array(data).try_into().unwrap();
    let listed: Ipv4Addr = LISTED.parse().unwrap();
    let number = cache_line(&listed);
    let mut words = map.get(&number, 0).unwrap();
    let place = Place::from_source(listed.octets(), line_bits(CAPACITY.v4));
    let kept = words;
    let word = *kept.iter().find(|word| place.is_of(**word)).unwrap();
    let recent = RecentDrop::from_word(word);
    let old = RecentDrop {
        tag: recent.tag ^ 1,
        from: recent.from.wrapping_sub((1 << 27) + 100),
        ..recent
    };
    let unused = words.iter_mut().find(|word| **word == 0).unwrap();
    *unused = old.word();
    map.set(number, words, 0).unwrap();
    filter.sweep();
    assert_eq!(map.get(&number, 0).unwrap(), kept);
}

/// The hits and the slide in a slot are stored in the source's entry when another source
/// takes the slot.
#[test]
fn what_the_cache_postponed_is_stored_when_its_slot_is_taken() {
    let mut filter = new();
    let all = (0x0a00_0000..).map(Ipv4Addr::from);
    let sources: Vec<Ipv4Addr> = all
        .filter(|addr| cache_line(addr) == 9)
        .take(1 + SLOTS)
        .collect();
    let [first, others @ ..] = &sources[..] else {
        panic!("no sources")
    };
    let names: Vec<String> = others.iter().map(ToString::to_string).collect();
    let first_name = first.to_string();
    filter.add(&first_name, SHORT, 0, true);
    for name in &names {
        filter.add(name, TTL, 0, true);
    }
    assert_eq!(filter.run(&syn(&first_name)), DROPPED);
    let ttl = Duration::from_secs(SHORT.into());
    let stored = |filter: &Filter| blocked4(filter).get(&first.octets(), 0).unwrap();
    let at_first = stored(&filter);
    until("a second to pass", Duration::from_secs(5), || {
        Ok((clock::monotonic_ns() > at_first.expires.plus(SLACK).minus(ttl)).then_some(()))
    })
    .unwrap();
    assert_eq!(filter.run(&syn(&first_name)), DROPPED);
    let now = clock::monotonic_ns();
    let shown = filter.list.covering((*first).into(), now).unwrap()[0].entry;
    assert!(shown.expires > at_first.expires, "it is not shown");
    assert_eq!(stored(&filter), at_first, "it was stored before");
    // The other sources take the line's slots as these become invalid.
    until("the slot to be taken", Duration::from_secs(5), || {
        for name in &names {
            assert_eq!(filter.run(&syn(name)), DROPPED);
        }
        Ok((stored(&filter) != at_first).then_some(()))
    })
    .unwrap();
    let now = stored(&filter);
    assert_eq!(now.hits, shown.hits);
    let difference = now
        .expires
        .elapsed_since(shown.expires)
        .max(shown.expires.elapsed_since(now.expires));
    assert!(difference < EXACT, "{difference:?}");
}

#[test]
fn a_list_is_exact_while_it_is_hit() {
    let mut filter = new();
    let sources: Vec<String> = (0..2_000)
        .map(|number| Ipv4Addr::from_bits(0x0a01_0000 + number * 7).to_string())
        .collect();
    for source in &sources {
        filter.add(source, SHORT, 0, true);
    }
    let mut last = vec![MonotonicNs::default(); sources.len()];
    let start = clock::monotonic_ns();
    until("three rounds of hits", Duration::from_secs(20), || {
        for (source, last) in sources.iter().zip(&mut last) {
            assert_eq!(filter.run(&syn(source)), DROPPED);
            *last = clock::monotonic_ns();
        }
        Ok((clock::monotonic_ns() > start.plus_seconds(3)).then_some(()))
    })
    .unwrap();
    let mut shown = 0;
    filter
        .list
        .for_each(|found| {
            let Target::V4(key) = found.target else {
                return;
            };
            let number = u32::from_be_bytes(key).wrapping_sub(0x0a01_0000) / 7;
            let Some(last) = last.get(number as usize) else {
                return;
            };
            let exact = last.plus_seconds(SHORT);
            let early = exact.elapsed_since(found.entry.expires);
            let late = found.entry.expires.elapsed_since(exact);
            assert!(
                early < EXACT && late == Duration::ZERO,
                "{early:?} {late:?}"
            );
            shown += 1;
        })
        .unwrap();
    assert_eq!(shown, sources.len());
}
