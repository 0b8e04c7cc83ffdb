//! `spamdrop reload`.

use std::fs;
use std::process::{Command, Output};
use std::thread;

use spamdrop_lab::site::ORDINARY;

use super::faults::hold_write_lock;
use super::*;

/// Runs `spamdrop reload`, and returns its exit code, its standard output and its
/// standard error.
fn reload(site: &Site, options: &[&str]) -> (Option<i32>, String, String) {
    told(&site.output(&[&["reload"], options].concat(), b"").unwrap())
}

fn told(output: &Output) -> (Option<i32>, String, String) {
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
    let expected =
        "{\"changed\":[\"ttl\"],\"needs_restart\":[],\"needs_detach\":[],\"failed\":[]}\n";
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
    // `reload` has not told the daemon to read the configuration.
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

/// Flags of the daemon may replace all interfaces and logs of the file.
#[test]
fn a_daemon_whose_flags_complete_the_configuration_is_reloaded() {
    let site = site(|_| {});
    let path = site.path("spamdrop.toml");
    let text = fs::read_to_string(&path).unwrap();
    let kept = |line: &&str| !line.starts_with("interfaces") && !line.starts_with("logs");
    let rest: Vec<&str> = text.lines().filter(kept).collect();
    let incomplete = format!("logs = []\n{}\n", rest.join("\n"));
    fs::write(&path, &incomplete).unwrap();
    let log = site.path("mail.log");
    let _daemon = site
        .run_with(&["-i", "eth0", "-l", log.to_str().unwrap()])
        .unwrap();
    fs::write(&path, format!("{incomplete}ttl = \"5m\"\n")).unwrap();
    let (code, out, err) = reload(&site, &[]);
    assert_eq!((code, &*out), (Some(0), "changed: ttl\n"), "{err}");
}

#[test]
fn another_file_than_the_daemons_is_refused() {
    let site = site(|_| {});
    let daemon = site.run().unwrap();
    let other = site.path("other.toml");
    fs::copy(site.path("spamdrop.toml"), &other).unwrap();
    let with = |path: &Path| {
        let mut command = site.server.command(env!("CARGO_BIN_EXE_spamdrop"));
        command.arg("--config").arg(path).arg("reload");
        reload_by(&site, command)
    };
    let (code, out, err) = with(&other);
    assert_eq!((code, &*out), (Some(1), ""), "{err}");
    let read = site.path("spamdrop.toml");
    let text = format!(
        "the daemon reads {}, not {}",
        read.display(),
        other.display()
    );
    assert!(err.contains(&text), "{err}");
    assert!(!daemon.output().contains("configuration read again"));
    // A link to the same file is not another file.
    let link = site.path("link.toml");
    std::os::unix::fs::symlink(read, &link).unwrap();
    let (code, _, err) = with(&link);
    assert_eq!(code, Some(0), "{err}");
}

fn reload_by(site: &Site, mut command: Command) -> (Option<i32>, String, String) {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = site.server.spawn(&mut command).unwrap();
    told(&child.wait_with_output().unwrap())
}

#[test]
fn another_run_dir_or_account_names_the_restart() {
    let site = site(|_| {});
    let _daemon = site.run().unwrap();
    let elsewhere = site.path("elsewhere");
    site.configure(&format!("run_dir = {elsewhere:?}")).unwrap();
    let (code, out, err) = reload(&site, &[]);
    assert_eq!((code, &*out), (Some(3), ""), "{err}");
    assert!(
        err.contains("`run_dir` was changed, restart it: `systemctl restart spamdrop`"),
        "{err}"
    );
    site.configure(&format!("user = {ORDINARY:?}")).unwrap();
    let (code, out, err) = reload(&site, &[]);
    assert_eq!((code, &*out), (Some(78), ""), "{err}");
    assert!(
        err.contains("the daemon runs as root, and `user` means nobody"),
        "{err}"
    );
}

#[test]
fn each_of_several_reloads_tells_its_own_result() {
    let site = site(|_| {});
    let _daemon = site.run().unwrap();
    for ttl in ["5m", "6m", "7m"] {
        site.configure(&format!("ttl = {ttl:?}")).unwrap();
        let all: Vec<_> = thread::scope(|scope| {
            let start = |_| scope.spawn(|| reload(&site, &[]));
            let running: Vec<_> = (0..4).map(start).collect();
            running.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let count = |wanted: &str| all.iter().filter(|(_, out, _)| out == wanted).count();
        assert_eq!(count("changed: ttl\n"), 1, "{all:?}");
        assert_eq!(
            count("no key of the configuration has changed\n"),
            3,
            "{all:?}"
        );
    }
}

#[test]
fn a_warning_that_cannot_be_collected_prevents_no_reload() {
    let site = site(|_| {});
    let _daemon = site.run().unwrap();
    fs::create_dir_all(site.path("courier/esmtpd")).unwrap();
    site.configure("slots = 40\nttl = \"5m\"").unwrap();
    let (code, out, err) = reload(&site, &[]);
    assert_eq!((code, &*out), (Some(0), "changed: ttl\n"), "{err}");
    assert!(err.contains("warning: ") && err.contains("esmtpd"), "{err}");
}

#[test]
fn an_ordinary_user_is_told_to_be_root() {
    let site = site(|_| {});
    let _daemon = site.run().unwrap();
    let mut command = site.server.command("setpriv");
    let ids = ["--reuid", ORDINARY, "--clear-groups"];
    command.args(ids).arg(env!("CARGO_BIN_EXE_spamdrop"));
    command.arg("--config").arg(site.path("spamdrop.toml"));
    command.arg("reload");
    let (code, out, err) = reload_by(&site, command);
    assert_eq!((code, &*out), (Some(4), ""), "{err}");
    assert!(
        err.contains("run the command as root") && !err.contains("chown"),
        "{err}"
    );
}

/// With a low limit of open files, the responder does not start.
#[test]
fn a_value_that_cannot_be_applied_is_no_success() {
    let site = site(|_| {});
    let config = site.path("spamdrop.toml");
    let limits = [
        "--bounding-set=-sys_resource",
        "prlimit",
        "--nofile=1024:1024",
    ];
    let run = [
        env!("CARGO_BIN_EXE_spamdrop"),
        "--config",
        config.to_str().unwrap(),
        "run",
    ];
    let env = [("RUST_LOG", "info")];
    let words = limits.into_iter().chain(run);
    let daemon = Daemon::start(&site.server, "setpriv", words, env).unwrap();
    daemon
        .wait_for(|line| line.contains("ready: "), Duration::from_secs(10))
        .unwrap();
    site.configure("ttl = \"5m\"\nanswer = \"on\"").unwrap();
    let (code, out, err) = reload(&site, &[]);
    assert_eq!(code, Some(1), "{out}{err}");
    let expected = "changed: ttl\nnot in force: answer: the responder cannot run, so the mail \
                    server answers listed senders: ";
    assert!(out.starts_with(expected), "{out}");
    // The responder is tried again.
    let (code, out, _) = reload(&site, &["--json"]);
    assert_eq!(code, Some(1), "{out}");
    let expected = "\"changed\":[],\"needs_restart\":[],\"needs_detach\":[],\"failed\":[\"the resp";
    assert!(out.contains(expected), "{out}");
}
