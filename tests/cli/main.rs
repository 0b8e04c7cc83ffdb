//! The binary: output, exit codes, bad input. Nothing here needs root.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod allow;
mod check;
mod known;
mod messages;
mod replay;
mod report;
mod scan;
mod settings;

use std::fs;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

/// A directory, and a configuration whose paths are all inside it.
struct Home(TempDir);

impl Home {
    fn new(more: &str) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        let key = |key: &str| format!("{key} = {:?}\n", home.path(key));
        let places = [
            "allow_file",
            "pin_dir",
            "run_dir",
            "state_dir",
            "courier_dir",
        ];
        let text = places.map(key).concat() + more;
        fs::write(home.path("spamdrop.toml"), text).unwrap();
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().into()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_spamdrop"));
        command.env_remove("RUST_LOG").args(args);
        command.arg("--config").arg(self.path("spamdrop.toml"));
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).stdin(Stdio::null()).output().unwrap()
    }

    fn run_with(&self, args: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(args);
        command.stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that rejects its arguments ends without reading its input.
        match child.stdin.take().unwrap().write_all(input) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written.unwrap(),
        }
        child.wait_with_output().unwrap()
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn a_senseless_command_line_ends_with_2() {
    let home = Home::new("");
    for args in [
        &["no-such-verb"][..],
        &[],
        &["add"],
        &["add", "192.0.2.1", "--for", "0s"],
        &["add", "192.0.2.1", "--for", "1500ms"],
        &["add", "192.0.2.1", "--for", "11y"],
        &["run", "--port", "0"],
        &["run", "--mode", "fast"],
        &["attach"],
        &["scan"],
        &["import", "list", "list"],
        &["import", "--for", "0s"],
        &["export", "--format", "json"],
        &["completions", "tcsh"],
        &["add", "192.0.2.1", "mx.example"],
        &["add", "192.0.2.1", "-"],
        &["show", "192.0.2"],
        &[
            "run", "--port", "1", "--port", "2", "--port", "3", "--port", "4", "--port", "5",
            "--port", "6", "--port", "7", "--port", "8", "--port", "9",
        ],
    ] {
        let output = home.run(args);
        assert_eq!(code(&output), 2, "{args:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "", "{args:?}");
        assert_ne!(stderr(&output), "", "{args:?}");
    }
}

#[test]
fn a_bad_line_of_standard_input_is_named() {
    let home = Home::new("");
    let output = home.run_with(&["add", "-"], b"192.0.2.1\n# x\nmx.example\n");
    assert_eq!(code(&output), 2);
    assert_eq!(
        stderr(&output),
        "spamdrop: standard input, line 3: `mx.example` is a name, not an address; give its addresses, which `getent ahosts mx.example` shows\n"
    );
}

#[test]
fn a_wrong_configuration_ends_with_78_and_names_the_key() {
    for (text, key) in [
        ("portz = [25]", "portz"),
        ("ports = [0]", "`ports`"),
        ("ttl = \"soon\"", "ttl"),
    ] {
        let home = Home::new(text);
        for verb in [&["list"][..], &["config", "check"], &["run"]] {
            let output = home.run(verb);
            assert_eq!(code(&output), 78, "{verb:?}");
            let text = stderr(&output);
            assert!(
                text.contains("/spamdrop.toml: ") && text.contains(key),
                "{text}"
            );
        }
    }
    let home = Home::new("");
    fs::remove_file(home.path("spamdrop.toml")).unwrap();
    assert_eq!(code(&home.run(&["list"])), 78);
}

#[test]
fn what_needs_a_filter_ends_with_3_without_one() {
    let home = Home::new("");
    for args in [
        &["add", "192.0.2.1"][..],
        &["remove", "192.0.2.1"],
        &["flush"],
        &["list"],
        &["list", "--json"],
        &["export"],
        &["import"],
        &["show", "192.0.2.1"],
        &["stats"],
    ] {
        let output = home.run(args);
        assert_eq!(code(&output), 3, "{args:?}");
        assert_eq!(stdout(&output), "", "{args:?}");
        let text = stderr(&output);
        assert!(
            text.starts_with("spamdrop: no filter is attached"),
            "{text}"
        );
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn status_shows_what_is_missing_and_ends_with_3() {
    let home = Home::new("interfaces = [\"lo\", \"nope0\"]");
    let output = home.run(&["status"]);
    assert_eq!(code(&output), 3);
    let allow = home.path("allow_file");
    let expected = format!(
        "\
NOT PROTECTING: lo: not attached; nope0: not attached: there is no such interface; \
the daemon is not running, so nothing new is blocked; start `spamdrop run`
lo               not attached
nope0            not attached: there is no such interface
allowlist        0 in {}, 0 automatic
daemon           not running; start it with `spamdrop run`
",
        allow.display()
    );
    assert_eq!(stdout(&output), expected);
    let output = home.run(&["status", "--json"]);
    assert_eq!(code(&output), 3);
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["attached"], false);
    assert_eq!(json["interfaces"][0]["state"], "missing");
    assert_eq!(json["interfaces"][1]["state"], "absent");
    assert!(json["maps"].is_null() && json["daemon"].is_null());
    assert!(json["wave"].is_null());
    assert_eq!(json["health"], "unprotected");
    let output = home.run(&["status", "--check"]);
    assert_eq!(code(&output), 2);
    assert!(stdout(&output).starts_with("SPAMDROP CRITICAL: NOT PROTECTING: lo: not attached;"));
    assert_eq!(stderr(&output), "");
    let unreadable = Home::new("interfaces = 7");
    let output = unreadable.run(&["status", "--check"]);
    assert_eq!(code(&output), 3);
    assert!(stdout(&output).starts_with("SPAMDROP UNKNOWN: "));
    assert_eq!(stdout(&output).lines().count(), 1);
}

#[test]
fn the_allowlist_is_a_file_that_needs_no_filter() {
    let home = Home::new("");
    let output = home.run(&[
        "allow",
        "add",
        "192.0.2.0/24",
        "::ffff:198.51.100.7",
        "2001:db8::1",
    ]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output), "allowed 3 prefixes\n");
    assert!(stderr(&output).contains("no filter is attached"));
    let file = fs::read_to_string(home.path("allow_file")).unwrap();
    assert_eq!(file, "192.0.2.0/24\n198.51.100.7\n2001:db8::1\n");
    let output = home.run(&["allow", "add", "192.0.2.0/24"]);
    assert_eq!(stdout(&output), "allowed 0 prefixes\n");
    let output = home.run(&["allow", "add", "192.0.2.77/24", "203.0.113.9/32"]);
    assert_eq!(
        stdout(&output),
        "192.0.2.77/24 acts on 192.0.2.0/24\nallowed 1 prefix\n"
    );
    home.run(&["allow", "remove", "203.0.113.9"]);
    assert!(stderr(&output).contains("192.0.2.0/24 is on the allowlist already"));
    let output = home.run(&["allow", "remove", "198.51.100.7", "203.0.113.9"]);
    assert_eq!(stdout(&output), "removed 1 prefix from the allowlist\n");
    assert!(stderr(&output).contains("203.0.113.9 is not on the allowlist"));
    let output = home.run(&["allow", "list", "--json"]);
    assert_eq!(
        stdout(&output),
        "[\n{\"addr\":\"192.0.2.0/24\",\"by\":\"file\"},\n{\"addr\":\"2001:db8::1\",\"by\":\"file\"}\n]\n"
    );
}

#[test]
fn an_entry_of_the_allowlist_may_have_an_end_and_a_comment() {
    let home = Home::new("");
    let add = ["allow", "add", "--for", "7d", "--comment", "backup MX"];
    let output = home.run(&[&add[..], &["192.0.2.53", "198.51.100.0/24"]].concat());
    assert_eq!(stdout(&output), "allowed 2 prefixes for 7d\n");
    let file = || fs::read_to_string(home.path("allow_file")).unwrap();
    let text = file();
    let (addr, comment) = text
        .lines()
        .next()
        .unwrap()
        .split_once("  # until=")
        .unwrap();
    let (until, comment) = comment.split_once(' ').unwrap();
    assert_eq!((addr, comment), ("192.0.2.53", "backup MX"));
    assert!(until.starts_with("20") && until.ends_with('Z'), "{until}");

    // An older version reads the end as a comment.
    let older = text
        .lines()
        .map(|line| line.split('#').next().unwrap().trim());
    assert_eq!(older.collect::<Vec<_>>(), ["192.0.2.53", "198.51.100.0/24"]);

    let output = home.run(&["allow", "check", "198.51.100.7"]);
    assert_eq!(code(&output), 0);
    let said = stdout(&output);
    let start = "198.51.100.7 is allowed by 198.51.100.0/24, on the allowlist for another ";
    assert!(
        said.starts_with(start) && said.ends_with(": backup MX\n"),
        "{said}"
    );
    let output = home.run(&["allow", "check", "127.0.0.1"]);
    let expected = "127.0.0.1 is allowed by 127.0.0.0/8, protected automatically (loopback)\n";
    assert_eq!((code(&output), stdout(&output)), (0, expected));
    let output = home.run(&["allow", "check", "--json", "198.51.101.7"]);
    assert_eq!(code(&output), 1);
    let expected = "{\"addr\":\"198.51.101.7\",\"allowed\":false,\"by\":[],\"in_filter\":null}\n";
    assert_eq!(stdout(&output), expected);
    assert_eq!(stderr(&output), "spamdrop: 198.51.101.7 is not allowed\n");
    assert_eq!(code(&home.run(&["allow", "check", "198.51.101"])), 2);

    // If an address is added again, its end is replaced, and its comment is kept unless
    // another is given.
    let output = home.run(&["allow", "add", "192.0.2.53"]);
    assert_eq!(
        stdout(&output),
        "allowed 0 prefixes\nchanged 1 prefix, allowed without an end now\n"
    );
    assert!(
        file().starts_with("192.0.2.53  # backup MX\n"),
        "{}",
        file()
    );
    let output = home.run(&["allow", "add", "--force", "--for", "1h", "192.0.2.53"]);
    let warned = "192.0.2.53 was allowed without an end, and is allowed for 1h now";
    assert!(stderr(&output).contains(warned), "{}", stderr(&output));

    // An entry that has ended allows nothing; a day later, it leaves the file with the next change.
    home.write(
        "allow_file",
        b"# ours\n203.0.113.61 # until=2026-01-01T00:00:00Z\n203.0.113.62 # until=soon\n",
    );
    assert_eq!(code(&home.run(&["allow", "check", "203.0.113.61"])), 1);
    let list = home.run(&["allow", "list"]);
    assert_eq!(
        stdout(&list),
        "ADDRESS       EXPIRES  COMMENT\n203.0.113.62  -        until=soon\n"
    );
    let mistake = ":3: `until=soon` is not one time such as until=2026-12-07T12:00:00Z, so 203.0.113.62 is allowed without an end";
    assert!(stderr(&list).contains(mistake), "{}", stderr(&list));
    assert_eq!(code(&home.run(&["allow", "remove", "203.0.113.69"])), 0);
    assert_eq!(file(), "# ours\n203.0.113.62 # until=soon\n");
    for wrong in ["a\n192.0.2.0/24", "until=2026-12-01T00:00:00Z"] {
        let output = home.run(&["allow", "add", "--comment", wrong, "203.0.113.69"]);
        assert_eq!(code(&output), 2, "{}", stderr(&output));
    }
    assert_eq!(file(), "# ours\n203.0.113.62 # until=soon\n");
}

#[test]
fn a_list_that_is_too_long_can_only_be_shortened() {
    let home = Home::new("");
    let lines: Vec<String> = (0..1_048_580_u32)
        .map(|number| std::net::Ipv4Addr::from(0x1400_0000 + number).to_string())
        .collect();
    let path = home.write("allow_file", lines.join("\n").as_bytes());
    let before = fs::metadata(&path).unwrap().len();
    let output = home.run(&["allow", "add", "192.0.2.1"]);
    assert_eq!(code(&output), 78);
    assert!(
        stderr(&output).contains("exceed the filter's capacity of 1048576"),
        "{}",
        stderr(&output)
    );
    assert_eq!(fs::metadata(&path).unwrap().len(), before);
    let output = home.run(&["allow", "remove", "20.0.0.0"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(fs::metadata(&path).unwrap().len() < before);
}

#[test]
fn a_wide_prefix_is_allowed_by_force_only() {
    let home = Home::new("");
    for wide in ["0.0.0.0/0", "::/0", "10.0.0.0/7"] {
        let output = home.run(&["allow", "add", "192.0.2.1", wide]);
        assert_eq!(code(&output), 2, "{wide}");
        let expected = format!("{wide} is wider than /");
        assert!(stderr(&output).contains(&expected), "{}", stderr(&output));
        assert!(!home.path("allow_file").exists());
    }
    let output = home.run(&["allow", "add", "--force", "0.0.0.0/0"]);
    assert_eq!(stdout(&output), "allowed 1 prefix\n");
    assert_eq!(code(&home.run(&["allow", "remove", "0.0.0.0/0"])), 0);
}

/// The proposals that a shell's script gets for a command line that is to be completed.
fn proposed(home: &Home, words: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spamdrop"));
    command.args(["--", "spamdrop", "--config"]);
    command.arg(home.path("spamdrop.toml")).args(words);
    let output = command.env("SPAMDROP_COMPLETE", "fish").output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    stdout(&output).to_owned()
}

#[test]
fn completions_know_verbs_interfaces_and_the_allowlist() {
    let home = Home::new("");
    for (shell, place) in [
        ("bash", "complete "),
        ("zsh", "#compdef spamdrop"),
        ("fish", "complete "),
    ] {
        let output = home.run(&["completions", shell]);
        assert_eq!(code(&output), 0);
        let script = stdout(&output);
        assert!(script.contains(place), "{shell}: {script}");
        assert!(script.contains("SPAMDROP_COMPLETE"), "{shell}: {script}");
    }
    let verbs = proposed(&home, &[""]);
    for verb in ["attach", "config", "import", "known", "learn", "scan"] {
        assert!(verbs.contains(verb), "{verb}: {verbs}");
    }
    for verb in [&["attach"][..], &["detach"], &["run", "--interface"]] {
        let interfaces = proposed(&home, &[verb, &["l"]].concat());
        assert!(interfaces.lines().any(|line| line == "lo"), "{interfaces}");
    }
    assert_eq!(code(&home.run(&["allow", "add", "192.0.2.53"])), 0);
    assert_eq!(proposed(&home, &["allow", "remove", "192"]), "192.0.2.53\n");
    assert_eq!(proposed(&home, &["allow", "check", "192"]), "192.0.2.53\n");
    assert!(proposed(&home, &["list", "--state", "se"]).starts_with("sealed"));
    // No filter is attached, so there is no block to propose.
    assert_eq!(proposed(&home, &["remove", "1"]), "");
}

/// journald takes the priority of a line from a prefix such as `<4>`.
#[test]
fn messages_to_the_journal_carry_their_priority() {
    let home = Home::new("");
    let (mut reader, writer) = io::pipe().unwrap();
    let stat = fs::metadata(format!("/proc/self/fd/{}", writer.as_raw_fd())).unwrap();
    let stream = format!("{}:{}", stat.dev(), stat.ino());
    let line = "Nov 28 10:00:00 mx postfix/smtpd[1]: NOQUEUE: reject: RCPT from a[192.0.2.1]: \
                554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using b.example; \
                from=<a@b.example> to=<c@d.example> proto=ESMTP helo=<a>\n";
    // The log is that of another server than the configured one, so `scan` warns.
    let log = home.write("mail.log", line.as_bytes());
    let written = |stream: &str| {
        for (args, code) in [(["scan", &log], 0), (["scan", "/nonexistent"], 1)] {
            let mut command = home.command(&args);
            command.env("JOURNAL_STREAM", stream);
            command.stderr(writer.try_clone().unwrap());
            assert_eq!(command.status().unwrap().code(), Some(code));
        }
    };
    written(&stream);
    written("8:1");
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    let starts: Vec<&str> = text
        .lines()
        .map(|line| line.split_once(' ').unwrap().0)
        .collect();
    assert_eq!(
        starts,
        ["<4>spamdrop:", "<3>spamdrop:", "spamdrop:", "spamdrop:"],
        "{text}"
    );
}

#[test]
fn the_history_has_no_row_for_what_is_allowed_for_longer() {
    let home = Home::new("");
    fs::create_dir(home.path("state_dir")).unwrap();
    let rows_after = |args: &[&str]| {
        let output = home.run(&[&["allow", "add", "192.0.2.1"], args].concat());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let output = home.run(&["history", "--json", "192.0.2.1"]);
        let rows: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
        rows.as_array().unwrap().len()
    };
    assert_eq!(rows_after(&["--for", "1h"]), 1);
    assert_eq!(rows_after(&["--for", "2h"]), 1);
    assert_eq!(rows_after(&["--for", "3h"]), 1);
    assert_eq!(rows_after(&[]), 2);
    assert_eq!(rows_after(&[]), 2);
}
