//! The binary: output, exit codes, bad input. Nothing here needs root.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

/// A directory with a configuration that points nowhere else.
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
        child.stdin.take().unwrap().write_all(input).unwrap();
        child.wait_with_output().unwrap()
    }
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
        "spamdrop: standard input, line 3: `mx.example` is not an address; give one such as 192.0.2.1, 2001:db8::1 or 192.0.2.0/24\n"
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
lo               not attached
nope0            not attached: there is no such interface
allowlist        0 in {}, 0 automatic
watcher          not running; start it with `spamdrop run`
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
    assert!(json["maps"].is_null() && json["watcher"].is_null());
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

const LOG: &[u8] = b"\
2026-11-23T08:50:54.615769+00:00 mx1 courieresmtpd: started,ip=[::ffff:203.0.113.5],port=[4711]
2026-11-23T08:50:55.615769+00:00 mx1 courieresmtpd: error,relay=::ffff:203.0.113.5,port=4711,from=<\xff@b.example>,to=<c@d.example>: 511 Blacklisted by zen.example
2026-11-23T08:50:56.615769+00:00 mx1 courieresmtpd: error,relay=::ffff:127.0.0.1,port=4711,from=<a@b.example>,to=<c@d.example>: 511 Blacklisted by zen.example
yesterday at noon error,relay=::ffff:203.0.113.5,port=4711,from=<a@b.example>: 511 Blacklisted by zen.example
2026-11-23T08:51:55.615769+00:00 mx1 courieresmtpd: error,relay=::ffff:203.0.113.5,port=4712,from=<a@b.example>,to=<c@d.example>: 511 Blacklisted by zen.example
2026-11-23T08:51:56.615769+00:00 mx1 courieresmtpd: error,relay=2001:db8::66,port=4712,from=<a@b.example>,to=<c@d.example>: 511-Blacklisted by
2026-11-23T08:51:56.615801+00:00 mx1 courieresmtpd: error,relay=2001:db8::66,port=4712,from=<a@b.example>,to=<c@d.example>: 511 zen.example
";

/// What `scan` shows of [`LOG`].
const SHOWN: &str = "\
: 7 lines, 4 would block
  courier-511: 4
  would not block, loopback: 1
  near miss, it does not start with a syslog header: 1
    line 4: yesterday at noon error,relay=::ffff:203.0.113.5,port=4711,from=<a@b.example>: 511 Blacklisted by zen.example
LINES  ADDRESS
    2  203.0.113.5
    2  2001:db8::66
";
/// Of what has been read from a file.
const NOTE: &str = "note: a plain file cannot tell a line that a local user forged from a real one; the journal can\n";

#[test]
fn scan_shows_what_would_have_been_blocked() {
    let home = Home::new("");
    let log = home.write("mail.log", LOG);
    let output = home.run(&["scan", &log]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output), format!("{log}{SHOWN}{NOTE}"));
    assert_eq!(stderr(&output), "");
}

#[test]
fn scan_reads_standard_input_once() {
    let output = Home::new("").run_with(&["scan", "-", "-"], LOG);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("only once"), "{}", stderr(&output));
}

#[test]
fn scan_prints_json_lines() {
    let home = Home::new("");
    let output = home.run_with(&["scan", "--json", "-"], LOG);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(
        stdout(&output),
        r#"{"kind":"match","file":"-","line":2,"addr":"203.0.113.5","rule":"courier-511"}
{"kind":"near-miss","file":"-","line":4,"reason":"it does not start with a syslog header","text":"yesterday at noon error,relay=::ffff:203.0.113.5,port=4711,from=<a@b.example>: 511 Blacklisted by zen.example"}
{"kind":"match","file":"-","line":5,"addr":"203.0.113.5","rule":"courier-511"}
{"kind":"match","file":"-","line":6,"addr":"2001:db8::66","rule":"courier-511"}
{"kind":"match","file":"-","line":7,"addr":"2001:db8::66","rule":"courier-511"}
{"kind":"file","file":"-","lines":7,"overlong":0,"matches":{"courier-511":4},"accepted":{},"ignored":{"loopback":1},"near_misses":{"it does not start with a syslog header":1},"error":null}
{"kind":"address","addr":"203.0.113.5","lines":2}
{"kind":"address","addr":"2001:db8::66","lines":2}
"#
    );
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// As logrotate leaves them, under whatever name.
#[test]
fn scan_reads_gzipped_logs() {
    let home = Home::new("");
    let (first, second) = LOG.split_at(300);
    let members = [gzip(first), gzip(second)].concat();
    let log = home.write("mail.log.1", &members);
    let output = home.run(&["scan", &log]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output), format!("{log}{SHOWN}{NOTE}"));
    let output = home.run_with(&["scan", "-"], &members);
    assert_eq!(stdout(&output), format!("-{SHOWN}"));
}

#[test]
fn scan_shows_what_is_left_of_a_truncated_log_and_ends_with_1() {
    let home = Home::new("");
    let whole = home.write("mail.log", LOG);
    let mut zipped = gzip(LOG);
    // The checksum and the length behind the data, and a bit of the data.
    zipped.truncate(zipped.len() - 12);
    let cut = home.write("mail.log.1.gz", &zipped);
    let output = home.run(&["scan", &cut, &whole]);
    assert_eq!(code(&output), 1);
    let text = stdout(&output);
    let first = format!("{cut}: 6 lines, 3 would block\n  not read to its end: ");
    assert!(text.starts_with(&first), "{text}");
    assert!(text.contains(&format!("{whole}: 7 lines, 4 would block\n")));
    let said = stderr(&output);
    let expected = format!("spamdrop: cannot read {cut} to its end: ");
    assert!(said.starts_with(&expected), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

#[test]
fn scan_names_the_program_for_other_compressions() {
    let home = Home::new("");
    let plain = home.write("mail.log", LOG);
    for (magic, program) in [
        (&b"\x28\xb5\x2f\xfd\x24"[..], "zstdcat"),
        (b"\xfd7zXZ\0\0\x04", "xzcat"),
        (b"BZh91AY&SY", "bzcat"),
    ] {
        let log = home.write("mail.log.1", magic);
        let output = home.run(&["scan", &plain, &log]);
        assert_eq!((code(&output), stdout(&output)), (1, ""));
        assert_eq!(
            stderr(&output),
            format!(
                "spamdrop: {log} is compressed, and not by gzip; use `{program} {log} | spamdrop scan -`\n"
            )
        );
    }
}

#[test]
fn scan_names_a_missing_file() {
    let home = Home::new("");
    let log = home.write("mail.log", LOG);
    let output = home.run(&["scan", &log, "/nonexistent/mail.log"]);
    assert_eq!(code(&output), 1);
    assert_eq!(stdout(&output), "");
    assert!(
        stderr(&output).starts_with("spamdrop: cannot open /nonexistent/mail.log: No such file"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn completions_know_every_verb() {
    let home = Home::new("");
    for shell in ["bash", "zsh", "fish"] {
        let output = home.run(&["completions", shell]);
        assert_eq!(code(&output), 0);
        for verb in ["attach", "config", "scan"] {
            assert!(stdout(&output).contains(verb), "{shell} {verb}");
        }
    }
}

#[test]
fn a_closed_standard_output_is_no_error() {
    let home = Home::new("");
    let log = home.write("mail.log", &LOG.repeat(1000));
    for args in [&["scan", "--json", &log][..], &["completions", "bash"]] {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut command = home.command(args);
        let output = command.stdout(writer).output().unwrap();
        assert_eq!(stderr(&output), "", "{args:?}");
        assert_eq!(code(&output), 0, "{args:?}");
    }
}

#[test]
fn config_check_finds_nothing_in_a_wise_configuration() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let home = Home::new(&format!(
        "interfaces = [\"lo\"]\nports = [{port}]\nlogs = [\"-\"]\n"
    ));
    let esmtpd = "TARPIT=0\nBLACKLISTS=\"-block=zen.example,BLOCK,*\"\n";
    home.write("courier_dir/esmtpd", esmtpd.as_bytes());
    let output = home.run(&["config", "check"]);
    let config = home.path("spamdrop.toml");
    assert_eq!(stdout(&output), format!("{}: valid\n", config.display()));
    assert_eq!(code(&output), 0);
    drop(listener);
}

#[test]
fn config_check_warns_of_what_is_unwise() {
    let home = Home::new("interfaces = [\"nope0\"]\nports = [1]\nlogs = [\"/nonexistent/log\"]\n");
    let esmtpd = b"BLACKLISTS='-block=zen.example -block=\x1b[2J'\nTCPDOPTS=-haproxy=192.0.2.1\n";
    home.write("courier_dir/esmtpd", esmtpd);
    let output = home.run(&["config", "check", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let warnings = json["warnings"].as_array().unwrap();
    let about: Vec<&str> = warnings
        .iter()
        .map(|warning| warning["about"].as_str().unwrap())
        .collect();
    assert_eq!(
        about,
        [
            "interfaces",
            "logs",
            "ports",
            "logs",
            "TARPIT",
            "BLACKLISTS",
            "BLACKLISTS",
            "TCPDOPTS"
        ]
    );
    let text = stdout(&home.run(&["config", "check"])).to_owned();
    assert!(text.contains("nothing listens on port 1 "), "{text}");
    assert!(text.contains("no interface \"nope0\""), "{text}");
    assert!(text.contains("no file \"/nonexistent/log\""), "{text}");
    assert!(
        text.contains("that a local user forged") && text.contains("set journal = true"),
        "{text}"
    );
    assert!(text.contains(r"-block=\x1b[2J never rejects"), "{text}");
}

#[test]
fn config_check_warns_of_a_file_beside_the_journal() {
    let home = Home::new("journal = true\nlogs = [\"/nonexistent/log\"]\n");
    let text = stdout(&home.run(&["config", "check"])).to_owned();
    assert!(text.contains("set logs = []"), "{text}");
    let home = Home::new("journal = true\n");
    let text = stdout(&home.run(&["config", "check"])).to_owned();
    assert!(!text.contains("logs"), "{text}");
}

#[test]
fn a_match_that_no_user_can_meet_is_refused() {
    let home = Home::new("journal = true\njournal_match = [\"_UID=no-such-user\"]\n");
    let output = home.run(&["config", "check"]);
    assert_eq!(code(&output), 78);
    assert!(
        stderr(&output).contains("no user no-such-user"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn config_check_misses_courier() {
    let home = Home::new("");
    let text = stdout(&home.run(&["config", "check"])).to_owned();
    assert!(
        text.contains("warning: courier_dir: there is no file "),
        "{text}"
    );
}

#[test]
fn config_check_leaves_courier_alone_where_it_is_not_read() {
    let home = Home::new("servers = [\"postfix\"]\nlogs = [\"/nonexistent/log\"]\n");
    let text = stdout(&home.run(&["config", "check"])).to_owned();
    assert!(text.contains("warning: logs: "), "{text}");
    assert!(!text.contains("courier"), "{text}");
}

#[test]
fn scan_reads_other_servers_and_patterns() {
    let home = Home::new(
        r#"servers = ["postfix"]
[[pattern]]
name = "postscreen-drop"
program = "postfix/postscreen"
match = '^DNSBL rank \d+ for \[<HOST>\]:\d+$'
"#,
    );
    let log = b"\
Nov 23 08:50:54 mx1 postfix/smtpd[1]: NOQUEUE: reject: RCPT from unknown[203.0.113.5]: 554 5.7.1 Service unavailable; Client host [203.0.113.5] blocked using zen.example; from=<a@b.example>
Nov 23 08:50:54 mx1 postfix/postscreen[1]: DNSBL rank 8 for [203.0.113.6]:4711
Nov 23 08:50:54 mx1 courieresmtpd: error,relay=::ffff:203.0.113.7,from=<>: 511 no
";
    let output = home.run_with(&["scan", "--json", "-"], log);
    assert_eq!(
        stdout(&output),
        r#"{"kind":"match","file":"-","line":1,"addr":"203.0.113.5","rule":"postfix-rbl"}
{"kind":"match","file":"-","line":2,"addr":"203.0.113.6","rule":"postscreen-drop"}
{"kind":"file","file":"-","lines":3,"overlong":0,"matches":{"postfix-rbl":1,"postscreen-drop":1},"accepted":{},"ignored":{},"near_misses":{},"error":null}
{"kind":"address","addr":"203.0.113.5","lines":1}
{"kind":"address","addr":"203.0.113.6","lines":1}
"#
    );
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}

#[test]
fn a_pattern_that_a_sender_could_mislead_is_refused() {
    let home = Home::new("[[pattern]]\nname = \"loose\"\nmatch = '^from .*\\[<HOST>\\]'\n");
    let output = home.run(&["config", "check"]);
    assert_eq!(code(&output), 78);
    let text = stderr(&output);
    assert!(
        text.contains("pattern \"loose\": the place of <HOST>"),
        "{text}"
    );
    assert!(text.contains("\"from [1.1.1.1[9.9.9.9\""), "{text}");
}
