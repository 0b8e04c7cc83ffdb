//! `spamdrop reload`.

use std::fs;

use spamdrop_lab::site::ORDINARY;

use super::faults::hold_write_lock;
use super::*;

/// Runs `spamdrop reload`, and returns its exit code, its standard output and its
/// standard error.
fn reload(site: &Site, options: &[&str]) -> (Option<i32>, String, String) {
    let output = site.output(&[&["reload"], options].concat(), b"").unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    (output.status.code(), out, err)
}

/// Configures `more`, and another `state_dir`.
fn move_state(site: &Site, more: &str) {
    site.configure(more).unwrap();
    let path = site.path("spamdrop.toml");
    let text = fs::read_to_string(&path).unwrap();
    let moved = text.replace("/state\"", "/elsewhere\"");
    assert_ne!(moved, text);
    fs::write(path, moved).unwrap();
}

fn blocks_for(site: &Site, source: &str, ttl_s: f64) {
    refused(site, source).quit().unwrap();
    let found = until("the entry", SOON, || Ok(entry(site, source))).unwrap();
    assert_eq!(found["ttl_s"], ttl_s, "{found}");
}

#[test]
fn a_key_that_needs_a_start_is_named_and_the_others_are_applied() {
    let site = site(|_| {});
    let daemon = site.run().unwrap();
    move_state(&site, "ttl = \"5m\"\ncapacity4 = 524288");
    let (code, out, err) = reload(&site, &[]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(
        out,
        "changed: ttl\n\
         only a restart of the daemon applies: state_dir\n\
         only `spamdrop detach` and a new start apply: capacity4\n"
    );
    assert!(err.contains("warning: logs: "), "{err}");
    assert!(
        daemon
            .output()
            .contains("configuration read again; changed: ttl; only a restart")
    );
    blocks_for(&site, ZOMBIE, 300.0);
    assert!(!site.path("elsewhere").exists());
    let status = site.status(&[]).unwrap();
    assert!(status.starts_with("protecting eth0"), "{status}");
    assert!(status.contains("only a restart of the daemon applies: state_dir"));

    site.configure("ttl = \"7m\"").unwrap();
    let (code, out, _) = reload(&site, &["--json"]);
    let expected = "{\"changed\":[\"ttl\"],\"needs_restart\":[],\"needs_detach\":[]}\n";
    assert_eq!((code, &*out), (Some(0), expected));
    blocks_for(&site, ZOMBIE6, 420.0);
    assert!(!site.status(&[]).unwrap().contains("only a restart"));
    let (code, out, _) = reload(&site, &[]);
    let expected = "no key of the configuration has changed\n";
    assert_eq!((code, &*out), (Some(0), expected));
}

#[test]
fn a_wrong_configuration_changes_nothing() {
    let site = site(|_| {});
    let daemon = site.run().unwrap();
    for (wrong, named) in [
        ("ttl = \"5m\"\nnonsense = 1", "nonsense"),
        ("ttl = 0", "ttl"),
    ] {
        site.configure(wrong).unwrap();
        let (code, out, err) = reload(&site, &[]);
        assert_eq!((code, &*out), (Some(78), ""), "{err}");
        assert!(err.contains(named), "{err}");
    }
    // The daemon was not told.
    assert!(!daemon.output().contains("the configuration is unchanged"));
    site.configure("").unwrap();
    blocks_for(&site, ZOMBIE, 600.0);
}

#[test]
fn without_a_daemon_it_says_so() {
    let site = site(|_| {});
    let (code, out, err) = reload(&site, &[]);
    assert_eq!((code, &*out), (Some(3), ""), "{err}");
    assert!(
        err.contains("no daemon runs (none is named in /run/spamdrop)"),
        "{err}"
    );
}

#[test]
fn a_refusal_of_the_daemon_is_told() {
    let site = site(|_| {});
    let _daemon = site.run().unwrap();
    let holder = hold_write_lock(&site);
    site.configure("ttl = \"5m\"").unwrap();
    let (code, out, err) = reload(&site, &[]);
    assert_eq!((code, &*out), (Some(1), ""), "{err}");
    let told = "the configuration is unchanged: `spamdrop import` (pid ";
    assert!(err.contains(told), "{err}");
    drop(holder);
    blocks_for(&site, ZOMBIE, 600.0);
}

/// As `ExecReload` of the unit, with `ProtectProc=invisible`: the daemon is not
/// dumpable, so its own account does not see it.
#[test]
fn the_daemons_account_reloads_a_daemon_that_it_cannot_see() {
    let site = site(|_| {});
    site.configure(&format!("user = {ORDINARY:?}")).unwrap();
    let _daemon = site.run().unwrap();
    site.configure(&format!("user = {ORDINARY:?}\nttl = \"5m\""))
        .unwrap();
    let group = uzers::get_user_by_name(ORDINARY)
        .unwrap()
        .primary_group_id();
    let script = format!(
        "mount -t proc -o hidepid=invisible proc /proc && \
         exec setpriv --reuid {ORDINARY} --regid {group} --clear-groups {} --config {} reload",
        env!("CARGO_BIN_EXE_spamdrop"),
        site.path("spamdrop.toml").display()
    );
    let told = site
        .server
        .exec(["unshare", "--mount", "sh", "-c", &script]);
    assert_eq!(told.unwrap(), "changed: ttl\n");
}
