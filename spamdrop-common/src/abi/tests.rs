#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::borrow::ToOwned as _;
use std::fmt::Write as _;
use std::format;
use std::path::Path;
use std::string::String;

use super::*;
use crate::counter::Reason;
use crate::entry::{ORIGIN_HAND, ORIGIN_LOG, ORIGIN_MASK, SEALED};
use crate::gate::{
    GateMode, LookupRequest, RESPONDER_IPV4, RESPONDER_IPV6, SHARE_ONE, Standing, host_bits,
    net_key, source_key,
};
use crate::recent_drop::{Place, RecentDrop};
use crate::settings::Refresh;
use crate::time::{MonotonicNs, UnixSeconds};

const CAPACITY: Capacity = Capacity {
    v4: 1_000,
    v6: 100,
    known: 7,
};

/// Describes a type: its size, and the type and offset of each field. The macro does
/// not compile if a field is missing or has another type.
macro_rules! layout {
    ($text:expr, $name:ident { $($field:ident: $type:ty),+ $(,)? }) => {{
        fn check(value: &$name) {
            let $name { $($field),+ } = value;
            $(let _: &$type = $field;)+
        }
        let _ = check;
        writeln!($text, "{}: {} bytes", stringify!($name), size_of::<$name>()).unwrap();
        $(writeln!(
            $text,
            "  {} {}: {}",
            core::mem::offset_of!($name, $field),
            stringify!($field),
            stringify!($type),
        ).unwrap();)+
    }};
}

fn describe_types(text: &mut String) {
    layout!(
        text,
        Entry {
            expires: MonotonicNs,
            hard_until_s: u32,
            ttl_s: u32,
            hits: u32,
            refreshes: u16,
            flags: u16,
            owners: u64,
        }
    );
    layout!(
        text,
        CidrEntry {
            expires_s: u32,
            hits: u32,
            owners: [u32; 2],
            flags: u32,
        }
    );
    layout!(text, AllowEntry { automatic: u32 });
    layout!(text, Destination { flags: u32 });
    layout!(
        text,
        Origin {
            first_blocked: UnixSeconds,
            last_offence: MonotonicNs,
            offences: u32,
            release_pending: u16,
            text_len: u16,
            text: [u8; 200],
        }
    );
    layout!(
        text,
        Settings {
            ports: [u16; 8],
            refresh: u32,
            cidrs4: u32,
            cidrs6: u32,
            addresses6: u32,
            epoch: u32,
            unit_ns: u32,
            drop_paused_until: MonotonicNs,
            destinations: u32,
            nat64_count: u32,
            nat64: [[u32; 3]; 4],
            release_paused_until: MonotonicNs,
            gate_paused_until: MonotonicNs,
            responder_paused_until: MonotonicNs,
        }
    );
    layout!(
        text,
        Gate {
            written: MonotonicNs,
            admitted: u64,
            mode: u32,
            open: u32,
            limits: [u32; 3],
            share: u32,
            responders: u32,
            reserved: [u32; 9],
        }
    );
    layout!(
        text,
        GateStats {
            admitted: u64,
            known_or_allowed: u64,
            starvation_admits: u64,
            refused: [u64; 3],
            reserved: [u64; 10],
        }
    );
    layout!(text, KnownSender { flags: u64 });
    layout!(
        text,
        Verdict {
            until: MonotonicNs,
            host: u64,
            standing: u32,
            zone: u32,
        }
    );
    layout!(
        text,
        LookupRequest {
            source: [u8; 16],
            sequence: u32,
            source_port: u16,
            class: u8,
            has_verdict: u8,
        }
    );
    layout!(text, NextAdmit { until: MonotonicNs });
    writeln!(text, "Counters: {} bytes", size_of::<Counters>()).unwrap();
    for &reason in Reason::ALL {
        writeln!(text, "  {} {}: u64", reason as usize * 8, reason.name()).unwrap();
    }
}

fn describe_numbers(text: &mut String) {
    let source = core::array::from_fn(|index| index as u8 + 1);
    let key = source_key(true, source);
    for (name, number) in [
        ("SEALED", u32::from(SEALED)),
        ("ORIGIN_MASK", ORIGIN_MASK.into()),
        ("ORIGIN_LOG", ORIGIN_LOG.into()),
        ("ORIGIN_HAND", ORIGIN_HAND.into()),
        ("Refresh::Packet", Refresh::Packet as u32),
        ("Refresh::Syn", Refresh::Syn as u32),
        ("Refresh::Never", Refresh::Never as u32),
        ("GateMode::Off", GateMode::Off as u32),
        ("GateMode::Observe", GateMode::Observe as u32),
        ("GateMode::On", GateMode::On as u32),
        ("SHARE_ONE", SHARE_ONE),
        ("RESPONDER_IPV4", RESPONDER_IPV4),
        ("RESPONDER_IPV6", RESPONDER_IPV6),
        ("Standing::Listed", Standing::Listed as u32),
        ("Standing::Unlisted", Standing::Unlisted as u32),
        ("Standing::Unnamed", Standing::Unnamed as u32),
        ("Standing::Confirmed", Standing::Confirmed as u32),
        ("RESPONDER4", names::RESPONDER4),
        ("RESPONDER6", names::RESPONDER6),
    ] {
        writeln!(text, "{name} = {number}").unwrap();
    }
    for bits in [15, 22] {
        let Place { line, tag } = Place::from_source([1, 2, 3, 4], bits);
        writeln!(text, "Place of 2^{bits} lines = {line}, {tag}").unwrap();
    }
    let word = RecentDrop {
        tag: 0x1_5432,
        from: 0xedc_ba98,
        units: 0x2a,
        last: 0x15,
        hits: 0x33,
    };
    writeln!(text, "RecentDrop = {:#018x}", word.word()).unwrap();
    let v4 = source_key(false, source);
    for (name, key) in [
        ("source_key of IPv4", v4),
        ("source_key of IPv6", key),
        ("net_key of IPv4", net_key(false, v4)),
        ("net_key of IPv6", net_key(true, key)),
        ("host_bits of IPv4", host_bits(false, source).to_ne_bytes()),
        ("host_bits of IPv6", host_bits(true, source).to_ne_bytes()),
    ] {
        writeln!(text, "{name} = {key:?}").unwrap();
    }
}

fn describe() -> String {
    let mut text = String::new();
    for map in &MAPS {
        let MapSpec {
            name,
            kind,
            key_size,
            value_size,
            flags,
            room,
        } = map;
        writeln!(
            text,
            "{name}: {kind:?}, key {key_size}, value {value_size}, flags {flags:#x}, {room:?}"
        )
        .unwrap();
    }
    describe_types(&mut text);
    describe_numbers(&mut text);
    text
}

/// The layouts of each version are recorded in `abi/vN.txt`.
#[test]
fn no_layout_changes_without_its_number() {
    let name = format!("abi/v{ABI_VERSION}.txt");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&name);
    let found = describe();
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    if std::env::var_os("RECORD_ABI").is_some() {
        std::fs::write(&path, &found).unwrap();
        return;
    }
    if recorded == found {
        return;
    }
    let line = |text: &str, number| text.lines().nth(number).unwrap_or("(nothing)").to_owned();
    let mut lines = 0..recorded.lines().count().max(found.lines().count());
    let first = lines.find(|&number| line(&recorded, number) != line(&found, number));
    let first = first.unwrap_or_default();
    panic!(
        "the layout of the maps is not the one that spamdrop-common/{name} records.\n\
         line {}: recorded `{}`, found `{}`\n\
         If version {ABI_VERSION} was released: raise ABI_VERSION, record the new layout in a new \
         file abi/vN.txt, leave the old file alone, and convert the old pins (a module for the \
         old version in spamdrop/src/kernel/blocklist/migrate, beside its row in tests/upgrade).\n\
         If it was not released yet, or if the change only gives a meaning to reserved bytes \
         whose 0 means what it meant before: record it again.\n\
         `RECORD_ABI=1 cargo test -p spamdrop-common abi` records.",
        first + 1,
        line(&recorded, first),
        line(&found, first),
    );
}

#[test]
fn maps_have_names_that_the_kernel_keeps_whole() {
    for (index, map) in MAPS.iter().enumerate() {
        // BPF_OBJ_NAME_LEN is 16, including the terminating zero.
        assert!(map.name.len() <= 15, "{}", map.name);
        assert!(MAPS[..index].iter().all(|other| other.name != map.name));
    }
    for name in [
        names::PROGRAM_FRAGS,
        names::PROGRAM_PLAIN,
        names::PROGRAM_IP_FRAGS,
        names::PROGRAM_IP_PLAIN,
        names::PROGRAM_ANSWER,
    ] {
        assert!(name.len() <= 15, "{name}");
    }
}

#[test]
fn room_is_what_the_configuration_chooses() {
    for (room, elements) in [
        (Room::Fixed(3), 3),
        (Room::Capacity4, 1_000),
        (Room::LinesOfCapacity4, 1 << 15),
        (Room::Capacity6, 100),
        (Room::QuarterOfCapacity6, 25),
        (Room::BothCapacities, 1_100),
        (Room::KnownCapacity, 7),
    ] {
        assert_eq!(room.elements(CAPACITY), elements, "{room:?}");
    }
    for (v6, quarter) in [(0, 1), (3, 1), (4, 1), (7, 1), (8, 2)] {
        let capacity = Capacity { v6, ..CAPACITY };
        assert_eq!(Room::QuarterOfCapacity6.elements(capacity), quarter);
    }
    let largest = Capacity {
        v4: u32::MAX,
        ..CAPACITY
    };
    assert_eq!(Room::BothCapacities.elements(largest), u32::MAX);
}

#[test]
fn flags_are_those_of_the_kernel() {
    // linux/bpf.h, `BPF_F_NO_PREALLOC` and `BPF_F_MMAPABLE`.
    assert_eq!([NO_PREALLOC, MMAPABLE], [1 << 0, 1 << 10]);
}
