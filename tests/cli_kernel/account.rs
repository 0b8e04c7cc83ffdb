//! Root's commands in the directories of a daemon with an account of its own.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::PathBuf;

use spamdrop_lab::site::ORDINARY;
use spamdrop_lab::wait::until;

use super::*;

const PINS: &str = "/sys/fs/bpf/spamdrop";
const SECRET: &str = "root's own\n";

fn uid() -> u32 {
    uzers::get_user_by_name(ORDINARY).unwrap().uid()
}

/// A site whose daemon has an account of its own, and `more` settings.
fn ordinary(more: &str) -> Site {
    site(&format!("user = {ORDINARY:?}\n{more}"))
}

/// A directory of the daemon's account.
fn of_daemon(path: PathBuf) -> PathBuf {
    fs::create_dir(&path).unwrap();
    chown(&path, Some(uid()), None).unwrap();
    path
}

/// The owner of a path on the server's host, which has its own `/run` and `/sys/fs/bpf`.
fn owner(site: &Site, path: &Path) -> u32 {
    let path = path.to_owned();
    site.server
        .run(move || fs::symlink_metadata(&path).unwrap().uid())
}

/// An attacker who has taken over the daemon plants links under every name that
/// a command of root writes to, or removes.
#[test]
fn a_link_that_the_daemon_plants_leads_root_to_nothing() {
    let site = ordinary("");
    let (state, run_dir) = (
        of_daemon(site.path("state")),
        of_daemon(site.path("own-run")),
    );
    let secret = site.path("secret");
    fs::write(&secret, SECRET).unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    // Root would write to a database of this form.
    site.spamdrop(&["known", "add", "198.51.100.9"]).unwrap();
    let database = site.path("database");
    fs::copy(state.join("spamdrop.db"), &database).unwrap();
    fs::set_permissions(&database, fs::Permissions::from_mode(0o600)).unwrap();
    let content = fs::read(&database).unwrap();
    let absent = site.path("absent");
    let settings = format!(
        "user = {ORDINARY:?}\nrun_dir = {run_dir:?}\nallow_file = {:?}\n",
        state.join("allow")
    );
    let config = fs::read_to_string(site.path("spamdrop.toml")).unwrap();
    let config = config.lines().filter(|line| {
        !["allow_file", "user"]
            .iter()
            .any(|key| line.starts_with(key))
    });
    let config: String = config.map(|line| format!("{line}\n")).collect();
    fs::write(site.path("spamdrop.toml"), config + &settings).unwrap();
    site.spamdrop(&["attach", "eth0"]).unwrap();
    let names = [
        state.join("spamdrop.db"),
        state.join("spamdrop.db-journal"),
        state.join("positions.json"),
        state.join("positions.json.new"),
        state.join("known.db"),
        state.join("blocks.db"),
        state.join("blocks.db-journal"),
        state.join("allow.new"),
        run_dir.join("lock"),
        run_dir.join("daemon.pid"),
        run_dir.join("daemon.json"),
        run_dir.join("daemon.json.new"),
    ];
    let log = site.path("mail.log").display().to_string();
    for target in [&secret, &database, &absent] {
        for name in &names {
            // `detach` has removed the directories that were empty.
            for dir in [&state, &run_dir].into_iter().filter(|dir| !dir.exists()) {
                of_daemon(dir.clone());
            }
            let _ = fs::remove_file(name);
            symlink(target, name).unwrap();
            for verb in [
                &["known", "add", "192.0.2.1"][..],
                &["known", "list"],
                &["known", "remove", "192.0.2.1"],
                &["learn", &log],
                &["allow", "add", "192.0.2.2"],
                &["allow", "remove", "192.0.2.2"],
                &["add", "192.0.2.3"],
                &["remove", "192.0.2.3"],
                &["flush"],
                &["import", &log],
                &["export"],
                &["list"],
                &["status"],
                &["report"],
                &["resume"],
                &["config", "check", "--offline"],
                &["attach", "eth0"],
                &["detach"],
            ] {
                // Whether a command fails matters less than what it touched.
                site.output(verb, b"").unwrap();
                assert!(!absent.exists(), "{verb:?}");
                assert_eq!(fs::read(&database).unwrap(), content, "{verb:?}");
                assert_eq!(fs::read_to_string(&secret).unwrap(), SECRET, "{verb:?}");
                let found = fs::metadata(&secret).unwrap();
                assert_eq!((found.uid(), found.mode() & 0o777), (0, 0o600), "{verb:?}");
            }
            let _ = fs::remove_file(name);
        }
    }
}

#[test]
fn what_root_makes_is_the_daemons_and_both_can_use_it() {
    let site = ordinary("");
    site.spamdrop(&["known", "add", "192.0.2.1"]).unwrap();
    site.spamdrop(&["attach", "eth0"]).unwrap();
    site.spamdrop(&["add", "192.0.2.3"]).unwrap();
    let made = [
        site.path("state"),
        site.path("state/spamdrop.db"),
        RUN_DIR.into(),
        Path::new(RUN_DIR).join("lock"),
        PINS.into(),
        Path::new(PINS).join("v4"),
        Path::new(PINS).join("v4/blocked4"),
        Path::new(PINS).join("link_eth0"),
        Path::new(PINS).join("netns"),
    ];
    for path in &made {
        assert_eq!(owner(&site, path), uid(), "{}", path.display());
    }
    let daemon = site.run().unwrap();
    assert_eq!(site.listed().unwrap(), ["192.0.2.3"]);
    site.spamdrop(&["remove", "192.0.2.3"]).unwrap();
    site.spamdrop(&["known", "add", "192.0.2.4"]).unwrap();
    site.spamdrop(&["allow", "add", "192.0.2.5"]).unwrap();
    let status = site.spamdrop(&["status"]).unwrap();
    assert!(status.starts_with("protecting eth0"), "{status}");
    assert!(
        !daemon.output().contains("ermission"),
        "{}",
        daemon.output()
    );
    drop(daemon);
    site.spamdrop(&["detach"]).unwrap();
    let is_left = site.server.run(|| Path::new(PINS).exists());
    assert!(!is_left);
}

/// An installation whose daemon ran as root until now.
#[test]
fn roots_directories_become_the_accounts_and_foreign_files_stop_that() {
    let fifo = format!("fifo = \"{RUN_DIR}/recent\"");
    let site = site(&format!("user = \"root\"\n{fifo}"));
    let mut daemon = site.run().unwrap();
    site.spamdrop(&["known", "add", "192.0.2.1"]).unwrap();
    let saved = site.path("state/blocks.db");
    until("the blocks to be saved", Duration::from_secs(5), || {
        Ok(saved.exists().then_some(()))
    })
    .unwrap();
    // A daemon that is killed leaves its FIFO.
    daemon.kill().unwrap();
    site.configure(&format!("user = {ORDINARY:?}\n{fifo}"))
        .unwrap();
    let check = ["config", "check", "--offline"];
    let text = site.spamdrop(&check).unwrap();
    assert!(!text.contains("known senders cannot be read"), "{text}");
    let daemon = site.run().unwrap();
    assert!(
        !daemon.output().contains("ermission"),
        "{}",
        daemon.output()
    );
    for path in [
        site.path("state/spamdrop.db"),
        saved,
        Path::new(PINS).join("v4/blocked4"),
        Path::new(RUN_DIR).join("recent"),
    ] {
        assert_eq!(owner(&site, &path), uid(), "{}", path.display());
    }
    let text = site.spamdrop(&check).unwrap();
    assert!(!text.contains("known senders cannot be read"), "{text}");
    drop(daemon);
    let foreign = site.path("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("precious"), "").unwrap();
    let config = fs::read_to_string(site.path("spamdrop.toml")).unwrap();
    let config = config.replace(
        &format!("{:?}", site.path("state")),
        &format!("{foreign:?}"),
    );
    fs::write(site.path("spamdrop.toml"), config).unwrap();
    for verb in [&["known", "add", "192.0.2.1"][..], &["run"]] {
        let error = fails(&site, verb, 78);
        assert!(
            error.contains("holds \"precious\", which is not spamdrop's"),
            "{error}"
        );
    }
    assert_eq!(fs::metadata(foreign.join("precious")).unwrap().uid(), 0);
}

/// A wrong `pin_dir` changes the owner of no foreign file.
#[test]
fn foreign_pins_and_other_file_systems_are_not_given_away() {
    let site = ordinary("");
    let base = fs::read_to_string(site.path("spamdrop.toml")).unwrap();
    let others = PathBuf::from("/sys/fs/bpf/tc");
    let plain = tempfile::tempdir().unwrap();
    let made = others.join("globals");
    site.server.run(move || fs::create_dir_all(made).unwrap());
    for pin_dir in [others.as_path(), plain.path(), Path::new("/sys/fs/bpf")] {
        let config = base.lines().filter(|line| !line.starts_with("pin_dir"));
        let config: String = config.map(|line| format!("{line}\n")).collect();
        let config = format!("{config}pin_dir = {pin_dir:?}\n");
        fs::write(site.path("spamdrop.toml"), config).unwrap();
        let error = fails(&site, &["list"], 3);
        assert!(error.contains("nothing is pinned"), "{error}");
        assert_eq!(owner(&site, pin_dir), 0, "{}", pin_dir.display());
    }
    assert_eq!(owner(&site, &others.join("globals")), 0);
}

/// An administrator who is locked out must get in on any machine.
#[test]
fn in_directories_that_run_refuses_root_can_unblock_and_detach() {
    let site = ordinary("");
    site.spamdrop(&["attach", "eth0"]).unwrap();
    site.spamdrop(&["add", "192.0.2.3"]).unwrap();
    for path in ["/run", "/sys/fs/bpf"] {
        site.server.run(move || {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        });
    }
    let error = fails(&site, &["run"], 78);
    assert!(error.contains("can be written to by everybody"), "{error}");
    site.spamdrop(&["remove", "192.0.2.3"]).unwrap();
    assert!(site.listed().unwrap().is_empty());
    site.spamdrop(&["detach"]).unwrap();
    assert!(!site.server.run(|| Path::new(PINS).exists()));
}

#[test]
fn a_configuration_that_only_root_can_read_starts() {
    let site = ordinary("");
    let config = site.path("spamdrop.toml");
    fs::set_permissions(config, fs::Permissions::from_mode(0o600)).unwrap();
    let _daemon = site.run().unwrap();
    // The account cannot read it again.
    for verb in [&["config", "check", "--offline"][..], &["reload"]] {
        let error = fails(&site, verb, 78);
        let expected = format!("the configuration: the daemon runs as {ORDINARY} and cannot read ");
        assert!(error.contains(&expected), "{error}");
    }
}

#[test]
fn an_allowlist_that_only_root_can_read_is_refused() {
    let site = ordinary("");
    let allow = site.path("allow");
    fs::write(&allow, "192.0.2.77\n").unwrap();
    site.spamdrop(&["config", "check", "--offline"]).unwrap();
    fs::set_permissions(&allow, fs::Permissions::from_mode(0o600)).unwrap();
    let error = fails(&site, &["config", "check", "--offline"], 78);
    let expected = format!("`allow_file`: the daemon runs as {ORDINARY} and cannot read ");
    assert!(error.contains(&expected), "{error}");
    let error = fails(&site, &["run"], 4);
    assert!(!error.contains("run the command as root"), "{error}");
}

#[test]
fn a_check_of_the_status_reads_the_directories_of_the_account() {
    let site = ordinary("");
    let _daemon = site.run().unwrap();
    until("the health", Duration::from_secs(5), || {
        let output = site.output(&["status", "--check"], b"")?;
        assert_eq!(stderr(&output), "");
        Ok((output.status.code() == Some(0)).then_some(()))
    })
    .unwrap();
}

#[test]
fn directories_that_others_can_change_are_refused() {
    let site = ordinary("");
    let base = fs::read_to_string(site.path("spamdrop.toml")).unwrap();
    // (mode of the directory above, owner, mode, the fault)
    for (above, uid, mode, fault) in [
        (0o755, 0, 0o777, "`chmod go-w "),
        (0o755, 0, 0o1777, "can be written to by everybody"),
        (0o755, 1, 0o700, "belongs to somebody else"),
        (0o777, 0, 0o700, "can be written to by everybody"),
    ] {
        let parent = tempfile::tempdir_in("/var/tmp").unwrap();
        let dir = parent.path().join("dir");
        fs::create_dir(&dir).unwrap();
        chown(&dir, Some(uid), None).unwrap();
        let chmod = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
        chmod(parent.path(), above).unwrap();
        chmod(&dir, mode).unwrap();
        for key in ["state_dir", "run_dir", "fifo", "allow_file"] {
            let value = match key {
                "fifo" | "allow_file" => dir.join("file"),
                _ => dir.clone(),
            };
            let others = base.lines().filter(|line| !line.starts_with(key));
            let config: String = others.map(|line| format!("{line}\n")).collect();
            fs::write(
                site.path("spamdrop.toml"),
                format!("{config}{key} = {value:?}\n"),
            )
            .unwrap();
            for verb in [&["config", "check", "--offline"][..], &["run"]] {
                let error = fails(&site, verb, 78);
                assert!(error.contains(&format!("`{key}`: ")), "{error}");
                assert!(error.contains(fault), "{fault}: {error}");
                assert!(
                    error.contains("owner ") && error.contains("mode "),
                    "{error}"
                );
            }
        }
        if mode & 0o1000 != 0 {
            // In a sticky directory, no other user can replace the existing file.
            continue;
        }
        let config = dir.join("spamdrop.toml");
        fs::write(&config, &base).unwrap();
        let mut command = site.server.command(env!("CARGO_BIN_EXE_spamdrop"));
        command.args([Path::new("--config"), &config, Path::new("run")]);
        command.stderr(Stdio::piped());
        let output = site
            .server
            .spawn(&mut command)
            .unwrap()
            .wait_with_output()
            .unwrap();
        assert_eq!(output.status.code(), Some(78), "{}", stderr(&output));
        assert!(
            stderr(&output).contains("`--config`: "),
            "{}",
            stderr(&output)
        );
    }
    // An account that can change the configuration could make the daemon run as root.
    let config = site.path("spamdrop.toml");
    chown(&config, Some(uid()), None).unwrap();
    for verb in [&["config", "check", "--offline"][..], &["run"]] {
        let error = fails(&site, verb, 78);
        assert!(
            error.contains("`--config`: ") && error.contains("belongs to somebody else"),
            "{error}"
        );
    }
    chown(&config, Some(0), None).unwrap();
    // A sticky directory above is not refused, because users can replace only their own
    // files in it.
    let parent = tempfile::tempdir_in("/var/tmp").unwrap();
    fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o1777)).unwrap();
    let others = base.lines().filter(|line| !line.starts_with("state_dir"));
    let config: String = others.map(|line| format!("{line}\n")).collect();
    let state = parent.path().join("state");
    fs::write(
        site.path("spamdrop.toml"),
        format!("{config}state_dir = {state:?}\n"),
    )
    .unwrap();
    let daemon = site.run().unwrap();
    assert_eq!(fs::metadata(&state).unwrap().uid(), uid());
    drop(daemon);
    fs::remove_dir_all(&state).unwrap();
}

/// systemd mounts /sys/fs/bpf with the mode 0700.
#[test]
fn the_account_reaches_its_pins_where_the_bpf_file_system_is_roots_alone() {
    let site = ordinary("");
    let for_root_alone = || {
        site.server.run(|| {
            let bpf = Path::new("/sys/fs/bpf");
            chown(bpf, None, Some(0)).unwrap();
            fs::set_permissions(bpf, fs::Permissions::from_mode(0o700)).unwrap();
        });
    };
    for_root_alone();
    // Nothing is pinned yet.
    assert!(fails(&site, &["list"], 3).contains("no filter is attached"));
    site.spamdrop(&["attach", "eth0"]).unwrap();
    site.spamdrop(&["add", "192.0.2.9"]).unwrap();
    site.spamdrop(&["detach"]).unwrap();
    for_root_alone();
    let daemon = site.run().unwrap();
    let found = site.server.run(|| {
        let found = fs::metadata("/sys/fs/bpf").unwrap();
        (found.uid(), found.gid(), found.mode() & 0o7777)
    });
    let gid = uzers::get_user_by_name(ORDINARY)
        .unwrap()
        .primary_group_id();
    assert_eq!(found, (0, gid, 0o710));
    site.spamdrop(&["add", "192.0.2.3"]).unwrap();
    drop(daemon);
    site.spamdrop(&["detach"]).unwrap();
}
