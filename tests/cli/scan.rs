//! `scan`.

use super::*;

const LOG: &[u8] = b"\
2026-11-23T08:50:54.615769+00:00 mx1 courieresmtpd: started,ip=[::ffff:203.0.113.5],port=[4711]
2026-11-23T08:50:55.615769+00:00 mx1 courieresmtpd: error,relay=::ffff:203.0.113.5,port=4711,from=<\xff@b.example>,to=<c@d.example>: 511 Blacklisted by zen.example
2026-11-23T08:50:56.615769+00:00 mx1 courieresmtpd: error,relay=::ffff:127.0.0.1,port=4711,from=<a@b.example>,to=<c@d.example>: 511 Blacklisted by zen.example
yesterday at noon error,relay=::ffff:203.0.113.5,port=4711,from=<a@b.example>: 511 Blacklisted by zen.example
2026-11-23T08:51:55.615769+00:00 mx1 courieresmtpd: error,relay=::ffff:203.0.113.5,port=4712,from=<a@b.example>,to=<c@d.example>: 511 Blacklisted by zen.example
2026-11-23T08:51:56.615769+00:00 mx1 courieresmtpd: error,relay=2001:db8::66,port=4712,from=<a@b.example>,to=<c@d.example>: 511-Blacklisted by
2026-11-23T08:51:56.615801+00:00 mx1 courieresmtpd: error,relay=2001:db8::66,port=4712,from=<a@b.example>,to=<c@d.example>: 511 zen.example
";

/// The output of `scan` for [`LOG`].
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

/// The note that `scan` adds for input from a file.
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
    // The input is larger than the buffer of a pipe: the command must end without
    // reading it.
    let output = Home::new("").run_with(&["scan", "-", "-"], &LOG.repeat(1000));
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
{"kind":"file","file":"-","lines":7,"overlong":0,"matches":{"courier-511":4},"accepted":{},"delivered":{},"ignored":{"loopback":1},"near_misses":{"it does not start with a syslog header":1},"error":null}
{"kind":"address","addr":"203.0.113.5","lines":2}
{"kind":"address","addr":"2001:db8::66","lines":2}
"#
    );
}

/// Logs as logrotate compresses them, under any file name.
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
    // Cuts off the checksum and the length at the end, and some of the data.
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

/// logrotate can also compress by xz and zstd.
#[test]
fn scan_reads_logs_of_xz_and_zstd() {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    let home = Home::new("");
    let options = lzma_rust2::XzOptions::with_preset(6);
    let mut xz = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    xz.write_all(LOG).unwrap();
    let zstd = compress_to_vec(LOG, CompressionLevel::Fastest);
    for bytes in [xz.finish().unwrap(), zstd] {
        let log = home.write("mail.log.1", &bytes);
        let output = home.run(&["scan", &log]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert_eq!(stdout(&output), format!("{log}{SHOWN}{NOTE}"));
    }
}

#[test]
fn scan_names_what_cannot_be_opened_and_reads_the_others() {
    let home = Home::new("");
    let plain = home.write("mail.log", LOG);
    let bzip2 = home.write("mail.log.1", b"BZh91AY&SY");
    let output = home.run(&["scan", "/nonexistent/mail.log", &bzip2, &plain]);
    assert_eq!(code(&output), 1);
    assert_eq!(stdout(&output), format!("{plain}{SHOWN}{NOTE}"));
    let said = stderr(&output);
    let lines: Vec<&str> = said.lines().collect();
    let missing = "spamdrop: cannot open /nonexistent/mail.log: No such file";
    assert!(lines[0].starts_with(missing), "{said}");
    let packed = format!(
        "spamdrop: {bzip2} is compressed by bzip2; use `bzcat {bzip2} |` with the file `-`"
    );
    assert_eq!(lines[1..], [packed]);
}

const POSTFIX: &str = "\
Jul 14 08:50:53 mx1 postfix/smtpd[1]: connect from unknown[203.0.113.5]
Jul 14 08:50:54 mx1 postfix/smtpd[1]: NOQUEUE: reject: RCPT from unknown[203.0.113.5]: 554 5.7.1 Service unavailable; Client host [203.0.113.5] blocked using zen.example; from=<a@b.example>
";

#[test]
fn scan_recognizes_the_server_if_the_configured_one_does_not_fit() {
    let home = Home::new("");
    let (postfix, courier) = (
        home.write("a.log", POSTFIX.as_bytes()),
        home.write("b.log", LOG),
    );
    let output = home.run(&["scan", &postfix, &courier]);
    assert_eq!(code(&output), 0);
    let shown = stdout(&output);
    assert!(
        shown.starts_with(&format!("{postfix}: 2 lines, 1 would block\n")),
        "{shown}"
    );
    assert!(
        shown.contains(&format!("{courier}: 7 lines, 4 would block\n")),
        "{shown}"
    );
    let expected = format!(
        "spamdrop: warning: {postfix}: recognised postfix, which `servers` does not name; "
    );
    let said = stderr(&output);
    assert!(
        said.starts_with(&expected) && said.lines().count() == 1,
        "{said}"
    );
    // `--server` names the servers in place of the configuration.
    let output = home.run(&[
        "scan", "--server", "exim", "--server", "postfix", &postfix, &courier,
    ]);
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    let shown = stdout(&output);
    assert!(shown.contains("a.log: 2 lines, 1 would block\n"), "{shown}");
    assert!(shown.contains("b.log: 7 lines, 0 would block\n"), "{shown}");
    let output = home.run(&["scan", "--server", "qmail", &postfix]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("rblsmtpd"), "{}", stderr(&output));
}

#[test]
fn an_unknown_time_zone_is_refused_with_the_next_step() {
    let home = Home::new("");
    let output = home.run(&["scan", "--timezone", "Mars/Olympus", "-"]);
    assert_eq!(code(&output), 2);
    let said = stderr(&output);
    assert!(said.contains("timedatectl list-timezones"), "{said}");
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
{"kind":"file","file":"-","lines":3,"overlong":0,"matches":{"postfix-rbl":1,"postscreen-drop":1},"accepted":{},"delivered":{},"ignored":{},"near_misses":{},"error":null}
{"kind":"address","addr":"203.0.113.5","lines":1}
{"kind":"address","addr":"203.0.113.6","lines":1}
"#
    );
    assert_eq!(code(&output), 0, "{}", stderr(&output));
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
