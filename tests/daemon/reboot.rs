//! Blocks survive a reboot. A reboot is imitated: it empties the maps and has
//! another boot id.

use rusqlite::Connection;

use super::*;

const NET: &str = "203.0.113.0/24";
const BY_HAND: &str = "198.51.100.9";

fn file(site: &Site) -> std::path::PathBuf {
    site.path("state/blocks.db")
}

/// Removes the maps, and changes the boot id of the last save, as after a reboot.
fn reboot(site: &Site) {
    let kept = site.path("kept.db");
    std::fs::copy(file(site), &kept).unwrap();
    site.spamdrop(&["detach"]).unwrap();
    assert!(!file(site).exists());
    std::fs::create_dir_all(site.path("state")).unwrap();
    std::fs::rename(&kept, file(site)).unwrap();
    let file = Connection::open(file(site)).unwrap();
    let changed = file.execute("UPDATE last_save SET boot = 'other'", []);
    assert_eq!(changed.unwrap(), 1);
}

fn shown(site: &Site, addr: &str) -> Value {
    let shown = site.spamdrop(&["show", addr, "--json"]).unwrap();
    serde_json::from_str(&shown).unwrap()
}

fn dropped(site: &Site) -> u64 {
    let stats = site.spamdrop(&["stats", "--json"]).unwrap();
    let stats: Value = serde_json::from_str(&stats).unwrap();
    stats["open_dropped"].as_u64().unwrap() + stats["sealed_dropped"].as_u64().unwrap()
}

#[test]
fn blocks_go_on_after_a_reboot_for_no_longer_than_before() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    drop(refused(&site, ZOMBIE));
    drop(refused(&site, ZOMBIE6));
    for addr in [ZOMBIE, ZOMBIE6] {
        wait_for_state(&site, addr, "sealed", GRACE + SOON);
    }
    let reason = ["--reason", "asked for it", "--for", "1h"];
    site.spamdrop(&[&["add", BY_HAND][..], &reason].concat())
        .unwrap();
    site.spamdrop(&["add", NET, "--reason", "a whole net"])
        .unwrap();
    assert_eq!(shown(&site, NET)["origins"][0]["text"], "a whole net");
    assert!(is_dropped(&site, ZOMBIE));
    let before = [ZOMBIE, ZOMBIE6, BY_HAND, NET].map(|addr| (addr, shown(&site, addr)));
    let drops = dropped(&site);
    assert!(drops > 0);

    assert!(stopped_cleanly(&mut daemon).success());
    reboot(&site);
    let daemon = site.run().unwrap();
    assert!(
        daemon
            .output()
            .contains("restored 4 blocks from before the reboot"),
        "{}",
        daemon.output()
    );
    assert!(dropped(&site) >= drops);
    for (addr, before) in before {
        let after = shown(&site, addr);
        let [entry, old] = [&after, &before].map(|shown| &shown["entries"][0]);
        for field in ["addr", "state", "ttl_s"] {
            assert_eq!(entry[field], old[field], "{addr}: {field}");
        }
        // Packets may have come since. The hits of a prefix begin again at 0.
        let hits = |entry: &Value| entry["hits"].as_u64().unwrap();
        assert!(hits(entry) >= hits(old) || addr == NET, "{entry} {old}");
        let left = |entry: &Value| entry["expires_in_s"].as_f64().unwrap();
        assert!(left(entry) <= left(old), "{entry} {old}");
        assert!(left(entry) > left(old) - 20.0, "{entry} {old}");
        for field in ["addr", "first_unix_s", "offences", "text"] {
            let [now, old] = [&after, &before].map(|shown| &shown["origins"][0][field]);
            assert_eq!(now, old, "{addr}: {field}");
        }
    }
    for addr in [ZOMBIE, ZOMBIE6] {
        assert!(is_dropped(&site, addr), "{addr}");
    }
}

#[test]
fn what_was_unblocked_or_allowed_does_not_come_back() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    let all = [ZOMBIE, CLEAN, BY_HAND];
    site.spamdrop(&[&["add"][..], &all].concat()).unwrap();
    assert!(stopped_cleanly(&mut daemon).success());
    // No daemon runs that could save this.
    site.spamdrop(&["remove", ZOMBIE]).unwrap();
    reboot(&site);
    std::fs::write(site.path("allow"), format!("{CLEAN}\n")).unwrap();
    let mut daemon = site.run().unwrap();
    assert_eq!(site.listed().unwrap(), [BY_HAND]);
    assert!(stopped_cleanly(&mut daemon).success());
    site.spamdrop(&["flush"]).unwrap();
    reboot(&site);
    let _daemon = site.run().unwrap();
    assert_eq!(site.listed().unwrap(), [""; 0]);
}

#[test]
fn within_a_boot_the_maps_are_right_and_not_the_file() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    site.spamdrop(&["add", BY_HAND]).unwrap();
    assert!(stopped_cleanly(&mut daemon).success());
    let kept = site.path("kept.db");
    std::fs::copy(file(&site), &kept).unwrap();
    site.spamdrop(&["remove", BY_HAND]).unwrap();
    std::fs::rename(&kept, file(&site)).unwrap();
    let _daemon = site.run().unwrap();
    assert_eq!(site.listed().unwrap(), [""; 0]);
}

#[test]
fn a_damaged_file_is_set_aside_and_blocks_are_saved_again() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    site.spamdrop(&["add", BY_HAND]).unwrap();
    assert!(stopped_cleanly(&mut daemon).success());
    reboot(&site);
    std::fs::write(file(&site), [0x5a; 9_000]).unwrap();
    let mut daemon = site.run().unwrap();
    let output = daemon.output();
    assert!(
        output.contains("blocks.db was damaged, and is now"),
        "{output}"
    );
    assert!(site.path("state/blocks.db.damaged").exists());
    assert_eq!(site.listed().unwrap(), [""; 0]);
    site.spamdrop(&["add", CLEAN]).unwrap();
    // The file is damaged while the daemon runs.
    daemon
        .wait_for(|line| line.contains("] saved "), SOON)
        .unwrap();
    std::fs::remove_file(site.path("state/blocks.db.damaged")).unwrap();
    std::fs::write(file(&site), [0x5a; 9_000]).unwrap();
    assert!(stopped_cleanly(&mut daemon).success());
    assert!(site.path("state/blocks.db.damaged").exists());
    reboot(&site);
    let _daemon = site.run().unwrap();
    assert_eq!(site.listed().unwrap(), [CLEAN]);
}

/// Nothing is saved before the blocks are restored: a save would delete them.
#[test]
fn blocks_that_cannot_be_restored_yet_are_restored_later() {
    let site = site(|_| {});
    let mut daemon = site.run().unwrap();
    site.spamdrop(&["add", BY_HAND, ZOMBIE6]).unwrap();
    assert!(stopped_cleanly(&mut daemon).success());
    reboot(&site);
    let locked = Connection::open(file(&site)).unwrap();
    locked.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let mut daemon = site.run().unwrap();
    let reason = "not all blocks from before the reboot are restored; trying again";
    until("the warning", SOON, || {
        let status = site.status(&["--json"])?;
        Ok(status.contains(reason).then_some(()))
    })
    .unwrap();
    // If the daemon ends before the blocks are restored, nothing is lost.
    assert!(stopped_cleanly(&mut daemon).success());
    let daemon = site.run().unwrap();
    locked.execute_batch("ROLLBACK").unwrap();
    daemon
        .wait_for(|line| line.contains("restored 2 blocks"), SOON)
        .unwrap();
    assert_eq!(site.listed().unwrap(), [BY_HAND, "2001:db8:64:1::/64"]);
    until("the warning to end", SOON, || {
        let status = site.status(&["--json"])?;
        Ok((!status.contains(reason)).then_some(()))
    })
    .unwrap();
}
