#![expect(clippy::unwrap_used, reason = "a test may panic")]
use std::io::{Seek as _, SeekFrom, Write as _};

use super::*;
use crate::store::VERB_WAIT;

fn entry(target: &str, ends: u64) -> SavedEntry {
    SavedEntry {
        target: target.parse().unwrap(),
        ends: UnixSeconds::new(ends),
        hard_end: UnixSeconds::new(ends + 3_600),
        ttl_s: 600,
        hits: u32::MAX,
        refreshes: u16::MAX,
        flags: 0x11,
        owners: u64::MAX,
    }
}

fn origin(addr: &str, text: &str) -> (IpAddr, SavedOrigin) {
    let origin = SavedOrigin {
        first_blocked: UnixSeconds::new(9),
        offences: u32::MAX,
        text: text.into(),
    };
    (addr.parse().unwrap(), origin)
}

/// An entry of each kind, and reasons, in the order of their keys.
fn blocks() -> Blocks {
    let targets = [
        "192.0.2.1",
        "198.51.100.0/24",
        "2001:db8::1/128",
        "2001:db8:1::/64",
        "2001:db8:2::/48",
    ];
    Blocks {
        entries: targets.map(|target| entry(target, 1_000)).to_vec(),
        origins: vec![
            origin("192.0.2.1", "511 \u{ff}"),
            origin("2001:db8::1", ""),
            origin("2001:db8:1::7", "x"),
        ],
        counters: vec![("not_ip".into(), 3), ("open_dropped".into(), 4)],
        saved: UnixSeconds::new(500),
        boot: "first".into(),
    }
}

fn sorted(mut blocks: Blocks) -> Blocks {
    blocks.entries.sort_unstable_by_key(|entry| entry.target);
    blocks.origins.sort_unstable_by_key(|(addr, _)| *addr);
    blocks
}

fn open() -> (tempfile::TempDir, PathBuf, SavedBlocks) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(FILE);
    assert!(
        SavedBlocks::open_existing(&path, VERB_WAIT)
            .unwrap()
            .is_none()
    );
    let file = SavedBlocks::open(&path, VERB_WAIT).unwrap();
    (dir, path, file)
}

#[test]
fn blocks_of_every_kind_are_saved_and_only_changes_are_written() {
    let (_dir, path, mut file) = open();
    assert_eq!(file.load().unwrap(), None);
    assert_eq!(file.save(blocks()).unwrap(), 8);
    let file = SavedBlocks::open_existing(&path, VERB_WAIT).unwrap();
    let mut file = file.unwrap();
    assert_eq!(sorted(file.load().unwrap().unwrap()), sorted(blocks()));

    // At the next save, a minute later, all ends differ by two seconds. That counts as
    // no change.
    let mut next = blocks();
    next.saved = UnixSeconds::new(560);
    next.entries.reverse();
    next.entries
        .iter_mut()
        .for_each(|it| it.ends = UnixSeconds::new(1_002));
    // The map has returned an entry twice.
    next.entries.push(next.entries[0]);
    assert_eq!(file.save(next).unwrap(), 0);
    let loaded = file.load().unwrap().unwrap();
    assert_eq!(loaded.saved, UnixSeconds::new(560));
    assert_eq!(sorted(loaded).entries, sorted(blocks()).entries);

    let mut next = blocks();
    next.entries
        .retain(|it| it.target.to_string() != "198.51.100.0/24");
    next.entries[0].hits = 1;
    next.entries.push(entry("255.255.255.255", 7));
    next.entries.push(entry("0.0.0.1", 8));
    next.origins[0].1.offences = 1;
    next.origins.remove(1);
    next.counters[0].1 = 5;
    assert_eq!(file.save(next.clone()).unwrap(), 6);
    assert_eq!(sorted(file.load().unwrap().unwrap()), sorted(next));
}

#[test]
fn what_is_unblocked_is_deleted_with_its_reasons() {
    let (_dir, _path, mut file) = open();
    file.save(blocks()).unwrap();
    let remove = |file: &mut SavedBlocks, target: &str| {
        file.remove(&[target.parse().unwrap()]).unwrap();
        let left = file.load().unwrap().unwrap();
        (left.entries.len(), left.origins.len())
    };
    assert_eq!(remove(&mut file, "203.0.113.1"), (5, 3));
    assert_eq!(remove(&mut file, "192.0.2.1"), (4, 2));
    assert_eq!(remove(&mut file, "198.51.100.0/24"), (3, 2));
    assert_eq!(remove(&mut file, "2001:db8:1::/64"), (2, 1));
    assert_eq!(remove(&mut file, "2001:db8::1/128"), (1, 0));
    file.clear().unwrap();
    assert_eq!(file.load().unwrap().unwrap().entries, []);
}

#[test]
fn a_reason_stays_while_the_address_or_its_64_is_blocked() {
    let all = || Blocks {
        entries: ["2001:db8:1::/64", "2001:db8:1::7/128"]
            .map(|it| entry(it, 1_000))
            .into(),
        origins: vec![origin("2001:db8:1::7", "x"), origin("2001:db8:1::8", "y")],
        ..blocks()
    };
    for (removed, left) in [
        (&["2001:db8:1::/64"][..], &["2001:db8:1::7"][..]),
        (&["2001:db8:1::7/128"], &["2001:db8:1::7", "2001:db8:1::8"]),
        (&["2001:db8:1::7/128", "2001:db8:1::/64"], &[]),
        (&["2001:db8:1::/64", "2001:db8:1::7/128"], &[]),
    ] {
        let (_dir, _path, mut file) = open();
        file.save(all()).unwrap();
        let targets: Vec<Target> = removed.iter().map(|it| it.parse().unwrap()).collect();
        file.remove(&targets).unwrap();
        let origins = file.load().unwrap().unwrap().origins;
        let mut origins: Vec<String> = origins.iter().map(|(addr, _)| addr.to_string()).collect();
        origins.sort_unstable();
        assert_eq!(origins, left, "{removed:?}");
    }
}

/// Overwrites 4,096 bytes of the file from the offset `at`.
fn damage(path: &Path, at: u64) {
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[0x5a; 4_096]).unwrap();
}

#[test]
fn a_damaged_file_is_recognised_and_set_aside() {
    for at in [0, 4_096, 8_192] {
        let (_dir, path, mut file) = open();
        file.save(blocks()).unwrap();
        drop(file);
        damage(&path, at);
        let read = SavedBlocks::open(&path, VERB_WAIT).and_then(|file| file.load());
        let error = read.unwrap_err();
        assert!(is_damaged(&error), "{at}: {error:#}");
        let aside = set_aside(&path).unwrap();
        assert!(aside.ends_with("blocks.db.damaged"));
        assert_eq!(
            SavedBlocks::open(&path, VERB_WAIT).unwrap().load().unwrap(),
            None
        );
    }
    assert!(!is_damaged(&Error::msg("the disk is full")));
}

/// No version of spamdrop has written such values.
#[test]
fn a_row_that_makes_no_sense_is_damage() {
    for change in [
        "UPDATE entries SET target = x'0002' WHERE target = x'00c0000201'",
        "UPDATE entries SET target = x'03c000020121' WHERE target = x'00c0000201'",
        "UPDATE entries SET target = x'09c0000201' WHERE target = x'00c0000201'",
        "UPDATE entries SET target = x'' WHERE target = x'00c0000201'",
        "UPDATE entries SET hits = -1",
        "UPDATE entries SET ends = -1",
        "UPDATE reasons SET addr = x'01' WHERE addr = x'20010db8000000000000000000000001'",
    ] {
        let (_dir, _path, mut file) = open();
        file.save(blocks()).unwrap();
        file.0.change(|tx| Ok(tx.execute_batch(change)?)).unwrap();
        let error = file.load().unwrap_err();
        assert!(is_damaged(&error), "{change}: {error:#}");
    }
}
