//! Many addresses, concurrent writers, and the removal of entries.

use std::cell::Cell;

use spamdrop::kernel::blocklist::SweptEntries;
use spamdrop_core::owners::{OwnerBit, OwnerMask};

use super::*;

#[test]
fn writers_take_turns() {
    let site = attached("");
    let turn = site
        .server
        .run(|| WriteLock::acquire(Path::new(RUN_DIR)).unwrap());
    let mut command = site.server.command(env!("CARGO_BIN_EXE_spamdrop"));
    command.arg("--config").arg(site.path("spamdrop.toml"));
    command.args(["add", "100.64.0.9"]).stdout(Stdio::null());
    let mut child = site.server.spawn(&mut command).unwrap();
    let waits = format!("-> FLOCK  ADVISORY  WRITE {} ", child.id());
    wait::until("the command to wait", Duration::from_secs(10), || {
        let locks = fs::read_to_string("/proc/locks")?;
        Ok(locks.contains(&waits).then_some(()))
    })
    .unwrap();
    // Readers do not need the write lock.
    assert_eq!(site.listed().unwrap(), Vec::<String>::new());
    drop(turn);
    assert!(child.wait().unwrap().success());
    assert_eq!(site.listed().unwrap(), ["100.64.0.9"]);
}

#[test]
fn two_bulk_adds_at_once_both_count() {
    let site = attached("");
    let (one, two) = (lines(50_000), lines(60_000));
    std::thread::scope(|scope| {
        let first = scope.spawn(|| site.output(&["add", "-"], one.as_bytes()).unwrap());
        let second = scope.spawn(|| site.output(&["add", "-"], two.as_bytes()).unwrap());
        assert!(first.join().unwrap().status.success());
        assert!(second.join().unwrap().status.success());
    });
    assert_eq!(site.listed().unwrap().len(), 60_000);
}

#[test]
fn a_million_addresses_come_and_go() {
    let site = attached("capacity4 = 1048576");
    let output = site
        .output(&["add", "-"], lines(1_000_000).as_bytes())
        .unwrap();
    assert_eq!(stderr(&output), "");
    assert_eq!(
        output.stdout,
        b"added 1000000 entries, each until 10m after its last packet\n"
    );
    let list = site.spamdrop(&["list", "--json"]).unwrap();
    let entries: Vec<&str> = list.lines().collect();
    assert_eq!(entries.len(), 1_000_002);
    for index in [0, 1, 500_000, 999_999] {
        let addr = Ipv4Addr::from(0x1000_0000 + index * 3);
        let line = entries[index as usize + 1];
        assert!(
            line.starts_with(&format!("{{\"addr\":\"{addr}\",")),
            "{line}"
        );
        let shown = site.spamdrop(&["show", &addr.to_string()]).unwrap();
        assert!(
            shown.starts_with(&format!("{addr} is blocked\n")),
            "{shown}"
        );
    }
    fails(&site, &["show", "16.0.0.1"], 1);
    assert_eq!(
        site.spamdrop(&["flush"]).unwrap(),
        "removed 1000000 entries\n"
    );
    assert_eq!(site.spamdrop(&["list", "--json"]).unwrap(), "[\n]\n");
}

#[test]
fn flush_keeps_the_allowlist() {
    let site = attached("");
    site.spamdrop(&["allow", "add", "100.66.0.0/16"]).unwrap();
    site.spamdrop(&[
        "add",
        "100.64.0.9",
        "100.65.0.0/24",
        "2001:db8:64::9",
        "--reason",
        "x",
    ])
    .unwrap();
    assert_eq!(traces(&site), (3, 1));
    assert_eq!(site.spamdrop(&["flush"]).unwrap(), "removed 3 entries\n");
    assert_eq!(traces(&site), (0, 0));
    assert!(!site.dropped("100.65.0.9", WAIT).unwrap());
    fails(&site, &["add", "100.66.0.1"], 1);
    assert_eq!(site.spamdrop(&["flush"]).unwrap(), "removed 0 entries\n");
}

#[test]
fn a_sweep_that_fails_tells_what_it_has_deleted() {
    let site = attached("");
    let addr = |addr: u32| Ipv4Addr::from_bits(0x6440_0000 + addr).to_string();
    let all: Vec<String> = (0..4_099).map(addr).collect();
    let said = site.output(&["import"], all.join("\n").as_bytes()).unwrap();
    assert!(said.status.success(), "{}", stderr(&said));
    let swept = site.server.run(|| {
        let mut blocklist = Blocklist::open(Path::new("/sys/fs/bpf/spamdrop")).unwrap();
        let has_turn = Cell::new(true);
        let turn = || match has_turn.replace(false) {
            true => WriteLock::acquire(Path::new(RUN_DIR)),
            false => anyhow::bail!("the lock is held"),
        };
        let later = clock::monotonic_ns().plus_seconds(100_000_000);
        let mut swept = SweptEntries::default();
        let result = blocklist.sweep(later, OwnerBit::HAND.into(), turn, &mut swept);
        assert!(result.is_err());
        swept
    });
    assert_eq!((swept.count, swept.ends.len()), (4_096, 4_096));
    let left = site.listed().unwrap();
    assert_eq!(left, all[4_096..]);
    let is_deleted = |addr: &String| !swept.ends.contains_key(&addr.parse().unwrap());
    assert!(left.iter().all(is_deleted), "{left:?}");
}

#[test]
fn what_has_expired_is_swept_with_its_reason() {
    let site = attached("");
    let targets = ["100.64.0.9", "100.65.0.0/24", "2001:db8:64::9"];
    site.spamdrop(&["add", targets[0], targets[1], targets[2], "--reason", "x"])
        .unwrap();
    site.spamdrop(&["add", "100.64.0.10", "--for", "1h"])
        .unwrap();
    let swept = site.server.run(|| {
        let mut blocklist = Blocklist::open(Path::new("/sys/fs/bpf/spamdrop")).unwrap();
        let turn = || WriteLock::acquire(Path::new(RUN_DIR));
        let now = clock::monotonic_ns();
        let later = now.plus_seconds(602);
        [now, later, later].map(|now| {
            let mut swept = SweptEntries::default();
            blocklist
                .sweep(now, OwnerMask::default(), turn, &mut swept)
                .unwrap();
            swept.count
        })
    });
    assert_eq!(swept, [0, 3, 0]);
    assert_eq!(traces(&site), (0, 0));
    assert_eq!(site.listed().unwrap(), ["100.64.0.10"]);
}
