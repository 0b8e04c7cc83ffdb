//! Messages to administrators about wrong settings, addresses and lists, and the
//! flags that they know from other programs.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use spamdrop_lab::wait::until;

use super::*;

#[test]
fn a_wrong_key_is_told_in_the_words_of_the_file() {
    for (text, expected) in [
        (
            "portz = [25]",
            "there is no key `portz`; did you mean `ports`?",
        ),
        (
            "interfaces = \"eth0\"",
            "`interfaces` is a list: [\"eth0\"]",
        ),
        (
            "release = \"destory\"",
            "`release`: \"destory\" is none of \"destroy\", \"terminate\", \"off\"; did you mean \"destroy\"?",
        ),
    ] {
        let home = Home::new(text);
        let output = home.run(&["config", "check"]);
        assert_eq!(code(&output), 78);
        let config = home.path("spamdrop.toml");
        let expected = format!("spamdrop: {}: line 6: {expected}\n", config.display());
        assert_eq!(stderr(&output), expected);
    }
}

#[test]
fn a_mistake_in_an_address_has_its_own_text() {
    let home = Home::new("");
    for (word, expected) in [
        ("mx.example", "is a name, not an address"),
        ("[192.0.2.1]", "has brackets; write 192.0.2.1"),
        ("192.0.2.1:25", "has a port"),
        ("192.0.2.1-192.0.2.9", "is a range"),
        (
            "192.0.2.0/255.255.255.0",
            "has a netmask; write 192.0.2.0/24",
        ),
        ("192.0.2.1,192.0.2.2", "has a comma"),
        ("192.0.2.1;192.0.2.2", "has a semicolon"),
        ("all", "is not an address"),
    ] {
        for verb in ["add", "remove", "show", "lookup"] {
            let output = home.run(&[verb, word]);
            assert_eq!(code(&output), 2, "{verb} {word}");
            let said = stderr(&output);
            let start = format!("spamdrop: `{word}` ");
            assert!(said.starts_with(&start), "{verb}: {said}");
            assert!(said.contains(expected), "{verb}: {said}");
        }
    }
    let flush = "`spamdrop flush` unblocks everything";
    for (args, expected) in [
        (&["remove", "192.0.2.1", "all"][..], flush),
        (&["remove", "*"], flush),
        (
            &["add", "192.0.2.1", "60"],
            "`60` is not an address; give the time as `--for 60`",
        ),
        (&["add", "192.0.2.1", "10m"], "give the time as `--for 10m`"),
        (
            &["add", "192.0.2.1", "1.5"],
            "the prefix is written 1.5.0.0/16",
        ),
    ] {
        let output = home.run(args);
        let said = stderr(&output);
        assert_eq!(code(&output), 2, "{args:?}: {said}");
        assert!(said.contains(expected), "{args:?}: {said}");
    }
    for args in [
        &["add", "all"][..],
        &["allow", "add", "any"],
        &["known", "add", "all"],
        &["show", "all"],
        &["known", "add", "60"],
    ] {
        let output = home.run(args);
        let said = stderr(&output);
        assert!(
            said.contains("is not an address; give one such as "),
            "{args:?}: {said}"
        );
    }
    let output = home.run(&["lookup", "192.0.2.0/24"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("is a prefix; give one of its addresses"));
    // `lookup` takes an address in the form that `list` prints.
    let output = home.run(&["lookup", "192.0.2.1/32", "2001:db8::1/128"]);
    assert_eq!(code(&output), 1, "{}", stderr(&output));
}

#[test]
fn a_bad_line_of_known_senders_is_no_wrong_usage() {
    let home = Home::new("");
    for text in ["192.0.2.1\nmx.example\n", "192.0.2.1\n192.0.2.0/24\n"] {
        let output = home.run_with(&["known", "import", "-"], text.as_bytes());
        assert_eq!(code(&output), 1, "{}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
    let output = home.run(&["known", "list", "--json"]);
    assert_eq!(stdout(&output), "[\n]\n");
}

#[test]
fn lookup_without_zones_fails() {
    let home = Home::new("resolv_conf = \"/dev/null\"");
    let output = home.run(&["lookup", "127.0.0.1"]);
    assert_eq!(code(&output), 1);
    assert_eq!(
        stderr(&output),
        "spamdrop: no zone is configured, so only names were looked up; see `zones`\n"
    );
    assert!(
        stdout(&output).starts_with("127.0.0.1: "),
        "{}",
        stdout(&output)
    );
}

#[test]
fn the_version_and_the_short_flags() {
    let home = Home::new("");
    let version = format!("spamdrop {}\n", env!("CARGO_PKG_VERSION"));
    for args in [&["version"][..], &["--version"], &["-V"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spamdrop"));
        let output = command.args(args).output().unwrap();
        assert_eq!(stdout(&output), version, "{args:?}");
    }
    let config = home.path("spamdrop.toml");
    let command = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spamdrop"));
        command.env_remove("RUST_LOG").arg("-c").arg(&config);
        command.args(args);
        command
    };
    let run = |args: &[&str]| command(args).output().unwrap();
    let run_logging = |level, args: &[&str]| command(args).env("RUST_LOG", level).output().unwrap();
    assert_eq!(code(&run(&["allow", "add", "192.0.2.1"])), 0);
    let again = run(&["allow", "add", "192.0.2.1"]);
    assert!(stderr(&again).contains("on the allowlist already"));
    let quiet = run(&["-q", "allow", "add", "192.0.2.1"]);
    assert_eq!(stderr(&quiet), "");
    let quiet = run_logging("spamdrop=debug", &["-q", "allow", "add", "192.0.2.1"]);
    assert_eq!(stderr(&quiet), "");
    let verbose = run_logging("off", &["-v", "allow", "add", "192.0.2.1"]);
    assert!(stderr(&verbose).contains("on the allowlist already"));
    let verbose = run(&["allow", "ls", "-j", "-v"]);
    assert_eq!(code(&verbose), 0, "{}", stderr(&verbose));
    let list = run(&["allow", "list", "--json"]);
    assert_eq!(stdout(&verbose), stdout(&list));
    for before in ["-j", "--json"] {
        let list = run(&[before, "allow", "list"]);
        assert_eq!(stdout(&verbose), stdout(&list));
    }
    // Not every command has JSON.
    assert_eq!(code(&run(&["-j", "export"])), 2);
    // `-q` hides no error.
    let failed = run(&["-q", "list"]);
    assert_eq!(code(&failed), 3);
    assert!(stderr(&failed).starts_with("spamdrop: no filter is attached"));
    assert_eq!(code(&run(&["-q", "-v", "list"])), 2);
}

/// A journald that was stopped reads nothing.
#[test]
fn the_last_error_does_not_wait_for_the_journal() {
    let home = Home::new("");
    let (_reader, journal) = UnixStream::pair().unwrap();
    journal.set_nonblocking(true).unwrap();
    while (&journal).write(&[b'x'; 4096]).is_ok() {}
    journal.set_nonblocking(false).unwrap();
    let stat = fs::metadata(format!("/proc/self/fd/{}", journal.as_raw_fd())).unwrap();
    let mut command = home.command(&["list"]);
    command.env("JOURNAL_STREAM", format!("{}:{}", stat.dev(), stat.ino()));
    command.stderr(OwnedFd::from(journal));
    let mut child = command.spawn().unwrap();
    let ended = until("the command to end", Duration::from_secs(10), || {
        Ok(child.try_wait()?)
    });
    if ended.is_err() {
        child.kill().unwrap();
    }
    assert_eq!(ended.unwrap().code(), Some(3));
}
