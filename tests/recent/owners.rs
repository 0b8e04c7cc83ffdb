//! Commands that name owners, and an entry's end after one of its owners lets go.

use rusqlite::Connection;
use spamdrop::store::FILE;

use super::*;

fn owners(site: &Site) -> Vec<String> {
    let entry = json(site, &["show", ZOMBIE, "--json"])["entries"][0].clone();
    let owners = entry["owners"].as_array().cloned().unwrap_or_default();
    owners
        .iter()
        .map(|owner| owner.as_str().unwrap().to_owned())
        .collect()
}

fn wait_for_owners(site: &Site, expected: &[&str]) {
    let mut last = Vec::new();
    until("the owners", SOON, || {
        last = owners(site);
        Ok((last == expected).then_some(()))
    })
    .unwrap_or_else(|error| panic!("{error:#}: {last:?}"));
}

fn minutes(site: &Site) -> f64 {
    let entry = json(site, &["show", ZOMBIE, "--json"])["entries"][0].clone();
    (entry["expires_in_s"].as_f64().unwrap() / 60.0).round()
}

#[test]
fn a_jail_lets_go_and_the_script_still_blocks() {
    let site = site();
    let mut daemon = site.run().unwrap();
    run_script(
        &site,
        &format!("echo '+{ZOMBIE} 3600 f2b:postfix-sasl' > $FIFO"),
    );
    wait_for_owners(&site, &["f2b:postfix-sasl"]);
    assert_eq!(minutes(&site), 60.0);
    run_script(&site, &format!("echo '+{ZOMBIE} 1200' > $FIFO"));
    wait_for_owners(&site, &["fifo", "f2b:postfix-sasl"]);
    assert_eq!(minutes(&site), 60.0);
    run_script(&site, &format!("echo '-{ZOMBIE} f2b:postfix-sasl' > $FIFO"));
    wait_for_owners(&site, &["fifo"]);
    assert_eq!(minutes(&site), 20.0);
    assert!(site.dropped(ZOMBIE, SILENCE).unwrap());
    // A command that names an owner is executed after the commands before it.
    run_script(
        &site,
        &format!("printf '+{ZOMBIE} 60 import:x\n-{ZOMBIE}\n-{ZOMBIE} import:x\n' > $FIFO"),
    );
    wait_for_list(&site, &[]);
    let fifo = counted(&site, "removed", 1);
    assert_eq!((&fifo["added"], &fifo["failed"]), (&3.into(), &0.into()));
    run_script(&site, "echo '+127.0.0.1 60 f2b:x' > $FIFO");
    counted(&site, "protected", 1);
    stop(&mut daemon);
}

/// The commands come in one write, so that each arrives before the holds of the one
/// before are in the database.
#[test]
fn an_owner_that_lets_go_at_once_leaves_the_time_of_the_other() {
    let site = site();
    let mut daemon = site.run().unwrap();
    let commands = format!("+{ZOMBIE} 3600 f2b:x\\n+{ZOMBIE} 7200\\n-{ZOMBIE} f2b:x\\n");
    run_script(&site, &format!("printf '{commands}' > $FIFO"));
    wait_for_owners(&site, &["fifo"]);
    assert_eq!(minutes(&site), 120.0);
    // If an entry has several owners, a shorter renewal shortens none of their holds.
    let commands = format!("+{ZOMBIE} 3600 f2b:x\\n+{ZOMBIE} 600\\n-{ZOMBIE} f2b:x\\n");
    run_script(&site, &format!("printf '{commands}' > $FIFO"));
    counted(&site, "added", 4);
    wait_for_owners(&site, &["fifo"]);
    assert_eq!(minutes(&site), 120.0);
    stop(&mut daemon);
}

#[test]
fn the_ends_of_the_last_commands_are_stored_at_the_stop() {
    let site = site();
    let mut daemon = site.run().unwrap();
    run_script(&site, &format!("echo '+{ZOMBIE} 7200 f2b:x' > $FIFO"));
    wait_for_owners(&site, &["f2b:x"]);
    run_script(&site, &format!("echo '+{ZOMBIE} 1200' > $FIFO"));
    stop(&mut daemon);
    assert_eq!(owners(&site), ["fifo", "f2b:x"]);
    site.spamdrop(&["remove", "--owner", "f2b:x", ZOMBIE])
        .unwrap();
    assert_eq!(minutes(&site), 20.0);
}

/// `fifo` is no owner whose name is in the database, so its commands work without one.
#[test]
fn the_fifo_lets_go_and_blocks_without_a_database() {
    let site = site();
    let mut daemon = site.run().unwrap();
    let store = site.path("state").join(FILE);
    run_script(&site, &format!("echo '+{ZOMBIE} 1200' > $FIFO"));
    wait_for_owners(&site, &["fifo"]);
    until("the place of the database", SOON, || {
        let _ = fs::remove_file(&store);
        Ok(fs::create_dir(&store).ok())
    })
    .unwrap();
    // The address is also blocked by hand, with a later end. The command says once that
    // it cannot use the database.
    let output = site.output(&["add", ZOMBIE, "--for", "2h"], b"").unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    assert_eq!(
        said.matches("cannot use the database of owners").count(),
        1,
        "{said}"
    );
    assert_eq!(owners(&site), ["hand", "fifo"]);
    assert_eq!(minutes(&site), 120.0);
    // The daemon tries the database again and again, and says so once.
    run_script(&site, &format!("echo '+{ZOMBIE} 1200' > $FIFO"));
    let text = "holds of owners wait for the database";
    daemon.wait_for(|line| line.contains(text), SOON).unwrap();
    site.spamdrop(&["remove", ZOMBIE]).unwrap();
    run_script(&site, &format!("printf '+{ZOMBIE} 1200\\n' > $FIFO"));
    wait_for_owners(&site, &["fifo"]);
    run_script(&site, &format!("printf -- '-{ZOMBIE} fifo\\n' > $FIFO"));
    wait_for_list(&site, &[]);
    fs::remove_dir(&store).unwrap();
    let recovered = |line: &str| line.contains("holds of owners (fifo): recovered");
    daemon.wait_for(recovered, SOON).unwrap();
    stop(&mut daemon);
    assert_eq!(daemon.output().matches(text).count(), 1);
}

/// The write lock is held while holds are stored, so the daemon stores many at a time.
#[test]
fn the_ends_of_commands_that_are_written_together_are_stored_together() {
    let site = site();
    let mut daemon = site.run().unwrap();
    let other = "100.64.0.67";
    let commands = [
        format!("+{ZOMBIE} 1200"),
        format!("+{other} 1200"),
        format!("+{ZOMBIE} 3600 f2b:x"),
        format!("+{other} 3600 f2b:y"),
        format!("+{ZOMBIE} 7200 f2b:x"),
    ];
    run_script(
        &site,
        &format!("printf '{}\n' > $FIFO", commands.join("\n")),
    );
    counted(&site, "added", 5);
    let database = Connection::open(site.path("state").join(FILE)).unwrap();
    let written: (u32, u32) = database
        .query_row(
            "SELECT count(*), count(DISTINCT set_at) FROM holds",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!(written, (4, 1));
    drop(database);
    assert_eq!(
        (owners(&site), minutes(&site)),
        (vec!["fifo".to_owned(), "f2b:x".to_owned()], 120.0)
    );
    // The second command names no owner of `other`, and the third repeats the first.
    // Neither has an effect.
    let commands = format!("-{ZOMBIE} f2b:x\n-{other} f2b:x\n-{ZOMBIE} f2b:x\n-{ZOMBIE} fifo\n");
    run_script(&site, &format!("printf -- '{commands}' > $FIFO"));
    let fifo = counted(&site, "removed", 1);
    assert_eq!(fifo["failed"], 0);
    wait_for_list(&site, &[other]);
    stop(&mut daemon);
}
