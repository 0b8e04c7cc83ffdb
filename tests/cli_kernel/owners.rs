//! Owners of entries: imported lists, an entry's end after an owner lets go, and what
//! `list` and `show` print of owners.

use rusqlite::Connection;
use spamdrop::owned_blocks::{OwnerStore, ReadEntries, Released, release, settle};
use spamdrop::store::saved_blocks::{self, Blocks, SavedBlocks};
use spamdrop::store::{BootTime, FILE, Store, VERB_WAIT};
use spamdrop_core::saved::SavedEntry;
use spamdrop_core::target::Target;
use spamdrop_core::time::UnixSeconds;

use super::*;

fn import(site: &Site, args: &[&str], text: &str) -> String {
    let args = [&["import"], args].concat();
    let output = site.output(&args, text.as_bytes()).unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Each entry as its address, its owners, and the minutes that are left.
fn list(site: &Site, args: &[&str]) -> Vec<String> {
    let entries = json(site, &[&["list", "--json"], args].concat());
    let entry = |entry: &Value| {
        let owners = entry["owners"].as_array().unwrap().iter();
        let owners: Vec<&str> = owners.map(|owner| owner.as_str().unwrap()).collect();
        let minutes = (entry["expires_in_s"].as_f64().unwrap() / 60.0).round();
        let addr = entry["addr"].as_str().unwrap();
        format!("{addr} {} {minutes}", owners.join("+"))
    };
    entries.as_array().unwrap().iter().map(entry).collect()
}

#[test]
fn an_entry_ends_with_the_last_of_its_owners() {
    let site = attached("");
    let drop = ["--owner", "drop", "--for", "2h"];
    import(&site, &drop, "100.64.0.9\n100.64.0.0/24\n");
    site.spamdrop(&["add", "100.64.0.9", "--for", "10m"])
        .unwrap();
    site.spamdrop(&["add", "100.64.0.0/24", "--for", "30m"])
        .unwrap();
    let said = site
        .spamdrop(&["add", "100.64.0.9", "--for", "20m"])
        .unwrap();
    assert!(
        said.contains("1 entry is blocked for longer by other owners"),
        "{said}"
    );
    assert_eq!(
        list(&site, &[]),
        [
            "100.64.0.0/24 hand+import:drop 120",
            "100.64.0.9 hand+import:drop 120"
        ]
    );
    let shown = site.spamdrop(&["show", "100.64.0.9"]).unwrap();
    assert!(shown.contains("hand, import:drop"), "{shown}");

    let all = ["remove", "--owner", "drop", "100.64.0.9", "100.64.0.0/24"];
    let said = site.spamdrop(&all).unwrap();
    assert_eq!(
        said,
        "removed 0 entries\n2 entries stay blocked by other owners\n"
    );
    assert_eq!(
        list(&site, &[]),
        ["100.64.0.0/24 hand 30", "100.64.0.9 hand 20"]
    );
    assert!(site.dropped("100.64.0.9", WAIT).unwrap());
    assert_eq!(list(&site, &["--owner", "drop"]), [""; 0]);

    // A shorter end of an owner is set only by force, and only for that owner.
    import(
        &site,
        &["--owner", "f2b:smtp", "--for", "1h"],
        "100.64.0.9\n",
    );
    let shorter = ["add", "100.64.0.9", "--for", "5m"];
    let said = site.spamdrop(&shorter).unwrap();
    assert!(
        said.starts_with("kept 1 entry, blocked for longer"),
        "{said}"
    );
    site.spamdrop(&[&shorter[..], &["--force"]].concat())
        .unwrap();
    site.spamdrop(&["remove", "--owner", "f2b:smtp", "100.64.0.9"])
        .unwrap();
    assert_eq!(
        list(&site, &["--owner", "hand"]),
        ["100.64.0.0/24 hand 30", "100.64.0.9 hand 5"]
    );
    assert_eq!(
        site.spamdrop(&["flush", "--owner", "hand"]).unwrap(),
        "removed 2 entries\n"
    );
    assert_eq!(list(&site, &[]), [""; 0]);
    assert!(!site.dropped("100.64.0.9", WAIT).unwrap());
}

#[test]
fn a_list_is_replaced_without_touching_another() {
    let site = attached("");
    let drop = ["--owner", "drop", "--for", "2h", "--fixed"];
    import(
        &site,
        &drop,
        "100.64.0.1\n100.64.0.2\n100.64.0.3\n100.65.0.0/24 ; SBL1\n",
    );
    import(
        &site,
        &["--owner", "other", "--for", "3h"],
        "100.64.0.3\n203.0.113.0/24\n",
    );
    site.spamdrop(&["add", "100.64.0.2", "--for", "10m"])
        .unwrap();
    let replaced = [&drop[..], &["--replace"]].concat();
    let said = import(&site, &replaced, "100.64.0.1\n100.64.0.4\n192.0.2.0/24\n");
    assert_eq!(
        said,
        "imported 3 entries\nremoved 1 entry\n2 entries stay blocked by other owners\n"
    );
    assert_eq!(
        list(&site, &[]),
        [
            "100.64.0.1 import:drop 120",
            "100.64.0.2 hand 10",
            "100.64.0.3 import:other 180",
            "100.64.0.4 import:drop 120",
            "192.0.2.0/24 import:drop 120",
            "203.0.113.0/24 import:other 180",
        ]
    );
    // A download that failed is no empty list.
    let output = site
        .output(&[&["import"], &replaced[..]].concat(), b"; nothing\n")
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("the list is empty"),
        "{}",
        stderr(&output)
    );
    assert_eq!(list(&site, &["--owner", "import:drop"]).len(), 3);
    assert_eq!(
        site.spamdrop(&["flush", "--owner", "other"]).unwrap(),
        "removed 2 entries\n"
    );
    // Without `--owner`, an address is removed whoever owns it.
    site.spamdrop(&["add", "100.64.0.4", "--for", "10m"])
        .unwrap();
    assert_eq!(
        site.spamdrop(&["remove", "100.64.0.4"]).unwrap(),
        "removed 1 entry\n"
    );
    assert_eq!(list(&site, &["--owner", "drop"]).len(), 2);
}

#[test]
fn owners_that_do_not_exist_are_named() {
    let site = attached("");
    import(&site, &["--owner", "drop"], "100.64.0.1\n");
    let said = fails(&site, &["list", "--owner", "dorp"], 1);
    assert!(
        said.contains("there is no owner import:dorp; there are import:drop"),
        "{said}"
    );
    let said = fails(&site, &["add", "--owner", "log", "100.64.0.1"], 2);
    assert!(
        said.contains("log and fifo are the owners of the daemon's own blocks"),
        "{said}"
    );
    let said = fails(&site, &["flush", "--owner", "a b"], 2);
    assert!(said.contains("`a b` is not an owner"), "{said}");
    let said = fails(&site, &["import", "--replace"], 2);
    assert!(said.contains("--owner"), "{said}");
}

#[test]
fn a_long_list_lets_go_of_what_it_has_alone() {
    let site = attached("");
    let drop = ["--owner", "drop", "--for", "2h"];
    let all: Vec<String> = (0..100).map(|it| format!("100.64.1.{it}")).collect();
    import(&site, &drop, &(all.join("\n") + "\n100.65.0.0/24\n"));
    let jail = ["add", "--owner", "f2b:x", "--for", "1h", "--reason", "why"];
    site.spamdrop(&[&jail[..], &["100.64.1.7", "100.64.1.8"]].concat())
        .unwrap();
    site.spamdrop(&["remove", "--owner", "drop", "100.64.1.8"])
        .unwrap();
    assert_eq!(traces(&site), (2, 1));
    let said = import(
        &site,
        &[&drop[..], &["--replace"]].concat(),
        "100.64.1.99\n",
    );
    assert_eq!(
        said,
        "imported 1 entry\nremoved 98 entries\n1 entry stays blocked by other owners\n"
    );
    let left = [
        "100.64.1.7 f2b:x 60",
        "100.64.1.8 f2b:x 60",
        "100.64.1.99 import:drop 120",
    ];
    assert_eq!(list(&site, &[]), left);
    assert_eq!(traces(&site), (2, 0));
    import(&site, &drop, &all.join("\n"));
    site.spamdrop(&[
        "add",
        "--owner",
        "drop",
        "--for",
        "3h",
        "--reason",
        "x",
        "100.64.1.1",
    ])
    .unwrap();
    assert_eq!(traces(&site), (3, 0));
    let said = site.spamdrop(&["flush", "--owner", "drop"]).unwrap();
    assert_eq!(
        said,
        "removed 98 entries\n2 entries stay blocked by other owners\n"
    );
    assert_eq!(traces(&site), (2, 0));
}

/// Reads all entries, as a command does that changes many.
fn read_entries(site: &Site) -> ReadEntries {
    let read = || {
        let mut read = ReadEntries::begin(Path::new(RUN_DIR))?;
        let blocklist = Blocklist::open(Path::new("/sys/fs/bpf/spamdrop"))?;
        blocklist.for_each_stored(|found| read.add(found))?;
        anyhow::Ok(read)
    };
    site.server.run(read).unwrap()
}

/// Makes the owner `drop` let go of entries that were read before.
fn release_read(site: &Site, addrs: &[String], mut read: ReadEntries) -> Released {
    let targets: Vec<Target> = addrs.iter().map(|it| it.parse().unwrap()).collect();
    let path = site.path("state").join(FILE);
    let let_go = move || {
        let lock = WriteLock::acquire(Path::new(RUN_DIR))?;
        let mut blocklist = Blocklist::open(Path::new("/sys/fs/bpf/spamdrop"))?;
        let mut store = OwnerStore::new(&path, VERB_WAIT);
        let drop = store.registered(&"drop".parse()?, &blocklist)?;
        let mut released = Released::default();
        release(
            &lock,
            &mut blocklist,
            &mut store,
            drop.into(),
            &targets,
            &mut read,
            &mut released,
        )?;
        anyhow::Ok(released)
    };
    site.server.run(let_go).unwrap()
}

#[test]
fn entries_that_another_process_has_changed_are_read_again() {
    let site = attached("");
    let all: Vec<String> = (10..80).map(|it| format!("100.64.1.{it}")).collect();
    import(&site, &["--owner", "drop", "--for", "2h"], &all.join("\n"));
    let read = read_entries(&site);
    site.spamdrop(&["add", "--for", "1h", "100.64.1.17"])
        .unwrap();
    site.spamdrop(&["remove", "100.64.1.18"]).unwrap();
    let released = release_read(&site, &all, read);
    assert_eq!((released.removed.len(), released.kept.len()), (68, 1));
    assert_eq!(list(&site, &[]), ["100.64.1.17 hand 60"]);
}

#[test]
fn many_entries_go_although_the_kernel_has_evicted_some() {
    let site = attached("");
    let all: Vec<String> = (10..80).map(|it| format!("100.64.1.{it}")).collect();
    import(&site, &["--owner", "drop", "--for", "2h"], &all.join("\n"));
    let read = read_entries(&site);
    let evicted = [10, 30, 31, 79].map(|it| format!("100.64.1.{it}"));
    let targets = evicted.clone().map(|it| it.parse::<Target>().unwrap());
    site.server.run(move || {
        let lock = WriteLock::acquire(Path::new(RUN_DIR)).unwrap();
        let mut blocklist = Blocklist::open(Path::new("/sys/fs/bpf/spamdrop")).unwrap();
        assert_eq!(blocklist.remove_all(&lock, &targets).unwrap().len(), 4);
    });
    let released = release_read(&site, &all, read);
    let removed: HashSet<String> = released.removed.iter().map(Target::to_string).collect();
    let left = all.iter().filter(|it| !evicted.contains(it)).cloned();
    assert_eq!(removed, left.collect());
    assert_eq!(list(&site, &[]), [""; 0]);
}

#[test]
fn an_export_without_the_names_of_the_owners_fails() {
    let site = attached("");
    import(&site, &["--owner", "drop"], "100.64.0.9\n");
    let locked = Connection::open(site.path("state").join(FILE)).unwrap();
    locked.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let said = fails(&site, &["export", "--owners"], 1);
    assert!(said.contains("database is locked"), "{said}");
}

/// An export copies the blocks to another machine, or restores them after `detach`.
#[test]
fn an_export_with_owners_restores_them_and_their_ends() {
    let site = attached("");
    let drop = ["--owner", "drop", "--for", "2h", "--fixed"];
    import(
        &site,
        &drop,
        "100.64.0.9\n100.64.0.0/24\n2001:db8:5:6::66/128\n",
    );
    site.spamdrop(&["add", "100.64.0.9", "--for", "20m"])
        .unwrap();
    site.spamdrop(&["add", "100.64.0.0/24", "--for", "30m"])
        .unwrap();
    site.spamdrop(&["add", "--owner", "f2b:smtp", "100.64.0.9", "--for", "3h"])
        .unwrap();
    import(&site, &[], "100.64.0.11 300 ttl=600 limit=3600 log\n");
    let before = [
        "100.64.0.0/24 hand+import:drop 120",
        "100.64.0.9 hand+import:drop+f2b:smtp 180",
        "100.64.0.11 log 5",
        "2001:db8:5:6::66/128 import:drop 120",
    ];
    assert_eq!(list(&site, &[]), before);
    let exported = site.spamdrop(&["export", "--owners"]).unwrap();
    let words = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        [&words[..1], &words[2..]].concat().join(" ")
    };
    let lines: Vec<String> = exported.lines().map(words).collect();
    assert_eq!(
        lines,
        [
            "100.64.0.0/24 fixed",
            "100.64.0.0/24 fixed owner=import:drop",
            "100.64.0.9 ttl=1200",
            "100.64.0.9 fixed owner=import:drop",
            "100.64.0.9 ttl=10800 owner=f2b:smtp",
            &lines[5],
            "2001:db8:5:6::66/128 fixed owner=import:drop",
        ]
    );
    assert!(
        lines[5].starts_with("100.64.0.11 ttl=600 limit="),
        "{exported}"
    );
    assert!(lines[5].ends_with(" log"), "{exported}");

    // The import also works with a new database, which has given no bits to the names.
    site.spamdrop(&["flush"]).unwrap();
    fs::remove_file(site.path("state").join(FILE)).unwrap();
    assert_eq!(import(&site, &[], &exported), "imported 4 entries\n");
    assert_eq!(list(&site, &[]), before);
    for owner in ["f2b:smtp", "drop"] {
        let both = ["100.64.0.9", "100.64.0.0/24"];
        site.spamdrop(&["remove", "--owner", owner, both[0], both[1]])
            .unwrap();
    }
    let left = [
        "100.64.0.0/24 hand 30",
        "100.64.0.9 hand 20",
        "100.64.0.11 log 5",
        "2001:db8:5:6::66/128 import:drop 120",
    ];
    assert_eq!(list(&site, &[]), left);

    // `--owner` overrides the owners that the lines name.
    site.spamdrop(&["flush"]).unwrap();
    import(&site, &["--owner", "copy"], &exported);
    let owners = list(&site, &["--owner", "copy"]);
    assert_eq!(owners.len(), 4, "{owners:?}");
    assert_eq!(list(&site, &[]), owners);
    let said = fails(&site, &["export", "--owners", "--format", "recent"], 2);
    assert!(said.contains("name no owners"), "{said}");
}

/// The daemon does this every half a minute.
#[test]
fn an_owner_whose_end_is_over_is_taken_from_its_entry() {
    let site = attached("");
    import(
        &site,
        &["--owner", "drop", "--for", "2h"],
        "100.64.0.9\n100.64.0.10\n100.64.0.11\n",
    );
    let short = [
        "add",
        "--fixed",
        "--for",
        "1s",
        "100.64.0.9",
        "100.64.0.10",
        "100.64.0.11",
    ];
    site.spamdrop(&short).unwrap();
    site.spamdrop(&["add", "--fixed", "--for", "1h", "100.64.0.10"])
        .unwrap();
    // The entry is removed and its rows in the database are not, as if the kernel had
    // evicted the entry.
    let evicted: Target = "100.64.0.11".parse().unwrap();
    site.server.run(move || {
        let lock = WriteLock::acquire(Path::new(RUN_DIR)).unwrap();
        let mut blocklist = Blocklist::open(Path::new("/sys/fs/bpf/spamdrop")).unwrap();
        assert!(blocklist.remove(&lock, evicted).unwrap());
    });
    let both = [
        "100.64.0.9 hand+import:drop 120",
        "100.64.0.10 hand+import:drop 120",
    ];
    assert_eq!(list(&site, &[]), both);
    let path = site.path("state").join(FILE);
    let settled = |path: &Path| {
        let mut blocklist = Blocklist::open(Path::new("/sys/fs/bpf/spamdrop"))?;
        let lock = || WriteLock::acquire(Path::new(RUN_DIR));
        settle(&mut blocklist, &mut OwnerStore::new(path, VERB_WAIT), lock)
    };
    wait::until("the end of an owner", Duration::from_secs(5), || {
        let path = path.clone();
        let number = site.server.run(move || settled(&path))?;
        Ok((number == 2).then_some(()))
    })
    .unwrap();
    let left = [
        "100.64.0.9 import:drop 120",
        "100.64.0.10 hand+import:drop 120",
    ];
    assert_eq!(list(&site, &[]), left);
    // The rows of the evicted entry are removed.
    let store = Store::read_existing(&path, VERB_WAIT).unwrap().unwrap();
    assert_eq!(
        store.holds([&evicted], &BootTime::now().unwrap()).unwrap()[&evicted],
        []
    );
    drop(store);
    let again = path.clone();
    assert_eq!(site.server.run(move || settled(&again)).unwrap(), 0);
    // The rows of 100.64.0.10 are removed with its entry.
    site.spamdrop(&["detach"]).unwrap();
    let store = Store::read_existing(&path, VERB_WAIT).unwrap().unwrap();
    let target: Target = "100.64.0.10".parse().unwrap();
    let holds = store.holds([&target], &BootTime::now().unwrap()).unwrap();
    assert_eq!(holds[&target], []);
}

/// The imported lines are as `spamdrop export` prints them on another server, whose log
/// has the address.
#[test]
fn a_line_of_the_log_leaves_the_block_by_hand() {
    let site = attached("");
    site.spamdrop(&["add", "100.64.0.9", "--for", "10d"])
        .unwrap();
    import(&site, &[], "100.64.0.9 300 ttl=600 limit=3600 log\n");
    // Here the line of the log comes first, and the block by hand second.
    import(&site, &[], "100.64.0.10 300 ttl=600 limit=3600 log\n");
    import(&site, &["--owner", "hand", "--for", "1h"], "100.64.0.10\n");
    // Here the log is the only owner, so the second line replaces the first.
    import(&site, &[], "100.64.0.11 900 ttl=900 limit=3600 log\n");
    import(&site, &[], "100.64.0.11 300 ttl=600 limit=3600 log\n");
    assert_eq!(
        list(&site, &[]),
        [
            "100.64.0.9 log+hand 14400",
            "100.64.0.10 log+hand 60",
            "100.64.0.11 log 5"
        ]
    );
}

/// The holds of a /64 are stored under the key of the /64.
#[test]
fn an_address_of_a_split_network_keeps_all_its_owners() {
    let site = attached("");
    let (net, offender) = ("2001:db8:5:6::/64", "2001:db8:5:6::66");
    site.spamdrop(&["add", offender, "--for", "20m"]).unwrap();
    let drop = ["--owner", "drop", "--for", "2h", "--fixed"];
    import(&site, &drop, &format!("{net}\n"));
    let alone = format!("{offender}/128");
    site.spamdrop(&[
        "add", "--owner", "f2b:x", &alone, "--for", "1h", "--reason", "x",
    ])
    .unwrap();
    assert_eq!(
        list(&site, &[]),
        [
            format!("{net} hand+import:drop 120"),
            format!("{alone} f2b:x 60")
        ]
    );
    site.spamdrop(&["allow", "add", "2001:db8:5:6::1"]).unwrap();
    assert_eq!(
        list(&site, &[]),
        [format!("{alone} hand+import:drop+f2b:x 120")]
    );
    site.spamdrop(&["remove", "--owner", "drop", offender])
        .unwrap();
    assert_eq!(list(&site, &[]), [format!("{alone} hand+f2b:x 60")]);
    site.spamdrop(&["remove", "--owner", "f2b:x", &alone])
        .unwrap();
    assert_eq!(list(&site, &[]), [format!("{alone} hand 20")]);
}

/// `list` shows an owner whose name is lost as `unnamed:N`. Other commands take that name.
#[test]
fn an_owner_without_its_name_can_be_listed_and_flushed() {
    let site = attached("");
    import(&site, &["--owner", "drop", "--for", "2h"], "100.64.0.9\n");
    fs::remove_file(site.path("state").join(FILE)).unwrap();
    assert_eq!(list(&site, &[]), ["100.64.0.9 unnamed:5 120"]);
    assert_eq!(list(&site, &["--owner", "unnamed:5"]).len(), 1);
    let said = fails(&site, &["add", "--owner", "unnamed:5", "100.64.0.1"], 2);
    assert!(said.contains("whose name is lost"), "{said}");
    let said = site.spamdrop(&["flush", "--owner", "unnamed:5"]).unwrap();
    assert_eq!(said, "removed 1 entry\n");
}

/// A trigger of the database refuses to write, as if the disk were full.
#[test]
fn an_owner_lets_go_although_the_database_cannot_be_written() {
    let site = attached("");
    let both = ["100.64.0.9", "100.64.0.10"];
    import(
        &site,
        &["--owner", "f2b:x", "--for", "900d"],
        &both.join("\n"),
    );
    site.spamdrop(&["add", "--for", "20m", both[0], both[1]])
        .unwrap();
    let database = Connection::open(site.path("state").join(FILE)).unwrap();
    for change in ["INSERT", "DELETE"] {
        let full = format!(
            "CREATE TRIGGER full_{change} BEFORE {change} ON holds
             BEGIN SELECT RAISE(FAIL, 'the disk is full'); END"
        );
        database.execute_batch(&full).unwrap();
    }
    for args in [
        &["remove", "--owner", "f2b:x", both[0]][..],
        &["flush", "--owner", "f2b:x"],
    ] {
        let output = site.output(args, b"").unwrap();
        let said = stderr(&output);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("the disk is full"), "{said}");
    }
    assert_eq!(
        list(&site, &[]),
        ["100.64.0.9 hand 20", "100.64.0.10 hand 20"]
    );
}

/// The saved block is removed. A daemon saves it again, with the owners that are left.
#[test]
fn a_reboot_does_not_bring_back_an_owner_that_let_go() {
    let site = attached("");
    let verbs: [&[&str]; 3] = [
        &["remove", "--owner", "drop", "100.64.0.9"],
        &["flush", "--owner", "drop"],
        &["import", "--owner", "drop", "--replace"],
    ];
    for verb in verbs {
        import(
            &site,
            &["--owner", "drop", "--for", "2h"],
            "100.64.0.9\n100.64.0.10\n",
        );
        site.spamdrop(&["add", "--for", "20m", "100.64.0.9", "100.64.0.10"])
            .unwrap();
        save(&site, ["100.64.0.9", "100.64.0.11"]);
        let output = site.output(verb, b"100.64.0.10\n").unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(saved(&site), ["100.64.0.11"], "{verb:?}");
    }
}

/// The second of two chunks has an entry whose holds are needed, and cannot be read.
#[test]
fn a_flush_that_fails_cleans_up_behind_what_it_has_removed() {
    let site = attached("");
    let [first, last] = ["100.64.0.0", "100.64.17.255"];
    let all = |addr: u32| Ipv4Addr::from_bits(0x6440_0000 + addr).to_string();
    let all: Vec<String> = (0..18 * 256).map(all).collect();
    import(&site, &["--owner", "drop", "--for", "2h"], &all.join("\n"));
    let reason = ["add", "--owner", "drop", "--for", "3h", "--reason", "x"];
    site.spamdrop(&[&reason[..], &[first]].concat()).unwrap();
    site.spamdrop(&["add", "--for", "20m", last]).unwrap();
    assert_eq!(traces(&site), (1, 0));
    save(&site, [first, last]);
    let database = Connection::open(site.path("state").join(FILE)).unwrap();
    let rename = |from: &str, to: &str| {
        let rename = format!("ALTER TABLE {from} RENAME TO {to}");
        database.execute_batch(&rename).unwrap();
    };
    rename("holds", "away");
    let said = fails(&site, &["flush", "--owner", "drop"], 1);
    assert!(said.contains("no such table: holds"), "{said}");
    // Of the second chunk, nothing was removed.
    let left = list(&site, &[]);
    assert_eq!(left.len(), 18 * 256 - 4_096);
    assert_eq!(traces(&site), (0, 0));
    assert_eq!(saved(&site), [last]);
    rename("away", "holds");
    let said = site.spamdrop(&["flush", "--owner", "drop"]).unwrap();
    assert_eq!(
        said,
        "removed 511 entries\n1 entry stays blocked by other owners\n"
    );
}

/// Saves two blocks as a daemon does.
fn save(site: &Site, addrs: [&str; 2]) {
    let entry = |addr: &str| SavedEntry {
        target: addr.parse().unwrap(),
        ends: UnixSeconds::new(u32::MAX.into()),
        hard_end: UnixSeconds::default(),
        ttl_s: 0,
        hits: 0,
        refreshes: 0,
        flags: 0,
        owners: 0,
    };
    let blocks = Blocks {
        entries: addrs.map(entry).into(),
        boot: "this".into(),
        ..Blocks::default()
    };
    saved_blocks(site).save(blocks).unwrap();
}

fn saved_blocks(site: &Site) -> SavedBlocks {
    let path = site.path("state").join(saved_blocks::FILE);
    SavedBlocks::open(&path, VERB_WAIT).unwrap()
}

/// The addresses of the saved blocks.
fn saved(site: &Site) -> Vec<String> {
    let left = saved_blocks(site).load().unwrap().unwrap().entries;
    left.iter().map(|it| it.target.to_string()).collect()
}

#[test]
fn a_block_leaves_the_reasons_that_others_have_for_its_addresses() {
    let site = attached("");
    let (net, addr) = ("2001:db8:5:6::/64", "2001:db8:5:6::66");
    let alone = format!("{addr}/128");
    let reason = || {
        let shown = site.output(&["show", addr], b"").unwrap();
        String::from_utf8(shown.stdout)
            .unwrap()
            .contains("spam of a jail")
    };
    let jail = |target: &str| {
        let why = ["--for", "1h", "--reason", "spam of a jail"];
        site.spamdrop(&[&["add", "--owner", "f2b:x", target][..], &why].concat())
            .unwrap();
        assert!(reason());
    };
    // The jail's reason is for the /64 while others block the address alone, and then
    // conversely.
    jail(addr);
    site.spamdrop(&["add", &alone]).unwrap();
    assert!(reason());
    import(&site, &["--owner", "drop"], &format!("{alone}\n"));
    assert!(reason());
    site.spamdrop(&["remove", addr]).unwrap();
    assert!(!reason());
    jail(&alone);
    site.spamdrop(&["add", net]).unwrap();
    assert!(reason());
    import(&site, &[], &format!("{net}\n"));
    assert!(reason());
    // A reason of the administrator is removed by the administrator's next block.
    site.spamdrop(&["remove", "--owner", "f2b:x", net, &alone])
        .unwrap();
    site.spamdrop(&["add", addr, "--reason", "spam of a jail"])
        .unwrap();
    assert!(reason());
    site.spamdrop(&["add", &alone]).unwrap();
    assert!(!reason());
}
