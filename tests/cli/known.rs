//! `known` and `learn`.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use super::*;

/// Formats the log line of mail that was accepted this long ago.
fn newmsg(addr: &str, days: u64, seconds: u64) -> String {
    let stamp = stamp(days, seconds);
    format!("{stamp} mx1 courierd: newmsg,id=0001.1: dns; mail.example (mail.example [{addr}])\n")
}

/// Formats the log line of a delivery this many days ago.
fn delivery(addr: &str, from: &str, days: u64) -> String {
    let stamp = stamp(days, 0);
    format!(
        "{stamp} mx1 courieresmtp: id=0001.1,from=<{from}>,addr=<c@there.example>,size=9,success: delivered: mx.there.example [{addr}]\n"
    )
}

fn rejection(addr: &str, days: u64, seconds: u64, text: &str) -> String {
    let stamp = stamp(days, seconds);
    format!(
        "{stamp} mx1 courieresmtpd: error,relay={addr},port=4711,from=<a@b.example>,to=<c@d.example>: 511 {text}\n"
    )
}

/// Formats the time of this long ago, as in RFC 3339.
fn stamp(days: u64, seconds: u64) -> String {
    let ago = Duration::from_secs(days * 86_400 + seconds);
    let at = SystemTime::now() - ago;
    jiff::Timestamp::try_from(at)
        .unwrap()
        .strftime("%Y-%m-%dT%H:%M:%SZ")
        .to_string()
}

fn log() -> String {
    let mail = |addr: &str| [newmsg(addr, 2, 9), newmsg(addr, 2, 5), newmsg(addr, 1, 0)].concat();
    let guess = |n: u64| {
        let line = rejection("::ffff:203.0.113.4", 0, 100 - n, "Unknown user.");
        line.replace("4711,from=<a", &format!("{n},from=<{n}"))
    };
    [
        mail("2001:db8::25"),
        mail("::ffff:203.0.113.3"),
        newmsg("::ffff:203.0.113.1", 1, 0),
        mail("::ffff:203.0.113.2"),
        rejection("::ffff:203.0.113.2", 0, 200, "Blacklisted by zen.example"),
        rejection("::ffff:203.0.113.9", 0, 200, "Blacklisted by zen.example"),
        mail("::ffff:203.0.113.4"),
        (1..=5).map(guess).collect(),
        mail("127.0.0.1"),
        delivery("203.0.113.6", "a@b.example", 35),
        delivery("203.0.113.7", "", 0),
        // This mail is too old to count.
        newmsg("::ffff:203.0.113.5", 37, 0),
    ]
    .concat()
}

fn states(home: &Home) -> Vec<(String, String)> {
    let output = home.run(&["known", "list", "--all", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let senders = json.as_array().unwrap().iter();
    senders
        .map(|sender| (text(&sender["addr"]), text(&sender["state"])))
        .collect()
}

fn expected() -> Vec<(String, String)> {
    [
        ("203.0.113.1", "unproven"),
        ("203.0.113.2", "demoted"),
        ("203.0.113.3", "known"),
        ("203.0.113.4", "demoted"),
        ("2001:db8::/64", "known"),
    ]
    .map(|(addr, state)| (addr.into(), state.into()))
    .into()
}

#[test]
fn learn_reads_logs_in_any_order_and_again() {
    let home = Home::new("");
    let log = log();
    let lines: Vec<&str> = log.split_inclusive('\n').collect();
    let (old, new) = lines.split_at(7);
    let old = home.write("mail.log.1", &gzip(old.concat().as_bytes()));
    let new = home.write("mail.log", new.concat().as_bytes());
    for order in [["learn", &new, &old], ["learn", &old, &new]] {
        let output = home.run(&order);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert_eq!(stderr(&output), "");
        let told = stdout(&output);
        assert!(
            told.contains(&format!(
                "{old}: 7 lines, 7 of accepted mail, 0 of deliveries, 0 of listed senders\n"
            )),
            "{told}"
        );
        assert!(
            told.contains(&format!(
                "{new}: 19 lines, 10 of accepted mail, 1 of deliveries, 2 of listed senders\n"
            )),
            "{told}"
        );
        assert!(told.ends_with("\n2 senders are known now\n"), "{told}");
        assert_eq!(states(&home), expected());
    }
    let other = Home::new("");
    let output = other.run_with(&["learn", "-"], log.as_bytes());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(states(&other), expected());
}

#[test]
fn learn_reads_stamps_in_the_time_zone_that_a_flag_names() {
    let at = SystemTime::now() - Duration::from_secs(86_400);
    let at = jiff::Timestamp::try_from(at).unwrap();
    let stamp = at.strftime("%b %e %H:%M:%S");
    let log = format!(
        "{stamp} mx postfix/smtpd[1]: disconnect from a[203.0.113.9] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5\n"
    );
    let last_mail = |zone| {
        let home = Home::new("");
        let args = ["learn", "--server", "postfix", "--timezone", zone, "-"];
        let output = home.run_with(&args, log.as_bytes());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let shown = home.run(&["known", "list", "--all", "--json"]);
        let senders: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap();
        senders[0]["last_accepted_unix_s"].as_i64().unwrap()
    };
    assert_eq!(last_mail("UTC"), at.as_second());
    assert_eq!(last_mail("Asia/Tokyo"), at.as_second() - 9 * 3_600);
}

#[test]
fn learn_dates_a_log_without_years_by_the_time_of_its_last_change() {
    let days_ago = |days: u64| SystemTime::now() - Duration::from_secs(days * 86_400);
    let accepted = |days| {
        let at = jiff::Timestamp::try_from(days_ago(days)).unwrap();
        let stamp = at.strftime("%b %e %H:%M:%S");
        format!(
            "{stamp} mx postfix/smtpd[1]: disconnect from a[203.0.113.9] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5\n"
        )
    };
    let text = [4, 3, 2].map(accepted).concat();
    let learned = |last_change| {
        let home = Home::new("");
        let log = home.write("mail.log.60", text.as_bytes());
        let file = File::options().append(true).open(&log).unwrap();
        file.set_modified(last_change).unwrap();
        let output = home.run(&["learn", "--server", "postfix", &log]);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        stdout(&output).lines().last().unwrap().to_owned()
    };
    // Its lines are more than a year old, and make nobody known.
    assert_eq!(learned(days_ago(366)), "0 senders are known now");
    // A file that was copied is newer than its lines.
    assert_eq!(learned(days_ago(0)), "1 sender is known now");
}

#[test]
fn a_blocklist_that_once_went_wrong_demotes_nobody() {
    for (refused, expected) in [(4, "demoted"), (5, "known")] {
        let home = Home::new("");
        let sources: Vec<String> = (1..=refused).map(|n| format!("203.0.113.{n}")).collect();
        let mail = |addr: &String| {
            [
                newmsg(addr, 3, 9),
                newmsg(addr, 3, 5),
                newmsg(addr, 2, 0),
                newmsg(addr, 0, 7200),
            ]
        };
        // The senders have been known for longer than a day, and sent mail today. The
        // ceiling is reached when five of them are listed.
        let listed = |addr: &String| rejection(addr, 0, 3600, "Blacklisted by zen.example");
        let mut mail: Vec<String> = sources.iter().flat_map(mail).collect();
        mail.sort_unstable();
        let mail = mail.concat();
        let refusals: String = sources.iter().map(listed).collect();
        let output = home.run_with(&["learn", "-"], [mail, refusals].concat().as_bytes());
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        let expected: Vec<_> = sources
            .into_iter()
            .map(|addr| (addr, expected.into()))
            .collect();
        assert_eq!(states(&home), expected);
    }
}

#[test]
fn learn_keeps_what_it_could_read_and_ends_with_1() {
    let home = Home::new("");
    let mut zipped = gzip(log().as_bytes());
    zipped.truncate(zipped.len() - 9);
    let cut = home.write("mail.log.1.gz", &zipped);
    let output = home.run(&["learn", &cut]);
    assert_eq!(code(&output), 1);
    let said = stderr(&output);
    assert!(
        said.starts_with(&format!("spamdrop: cannot read {cut} to its end: ")),
        "{said}"
    );
    assert!(states(&home).len() > 2);
    let other = Home::new("");
    let whole = home.write("mail.log", log().as_bytes());
    let missing = other.run(&["learn", "/nonexistent/mail.log", &whole]);
    assert_eq!(code(&missing), 1);
    let said = stderr(&missing);
    assert!(
        said.starts_with("spamdrop: cannot open /nonexistent/mail.log: "),
        "{said}"
    );
    assert_eq!(states(&other), expected());
    let twice = home.run(&["learn", "-", "-"]);
    assert_eq!(code(&twice), 2);
}

#[test]
fn known_senders_are_shown_sorted() {
    let home = Home::new("");
    let output = home.run(&["known", "list", "--json"]);
    assert_eq!((code(&output), stdout(&output)), (0, "[\n]\n"));
    assert!(!home.path("state_dir").exists());
    home.run_with(&["learn", "-"], log().as_bytes());
    let output = home.run(&["known", "add", "203.0.113.77"]);
    assert_eq!(stdout(&output), "added 1 sender\n");
    let output = home.run(&["known", "list"]);
    let day = |days| stamp(days, 0)[..10].to_owned();
    let last = day(1);
    let shown: Vec<Vec<&str>> = stdout(&output)
        .lines()
        .map(|line| {
            line.split("  ")
                .filter(|cell| !cell.is_empty())
                .map(str::trim)
                .collect()
        })
        .collect();
    let header = [
        "ADDRESS",
        "STATE",
        "LAST MAIL",
        "LAST DELIVERY",
        "KNOWN UNTIL",
    ];
    assert_eq!(shown[0], header);
    assert_eq!(shown[1][..4], ["203.0.113.3", "known", &last, "-"]);
    assert_eq!(shown[2], ["203.0.113.77", "by hand", "-", "-", "-"]);
    assert_eq!(shown[3][..3], ["2001:db8::/64", "known", &last]);
    assert_eq!(shown.len(), 4);
}

#[test]
fn deliveries_count_where_this_server_wrote_first() {
    let home = Home::new("");
    let mut lines: Vec<String> = (0..20).map(|day| newmsg("198.51.100.1", day, 0)).collect();
    let other = |addr, day| delivery(addr, "a@b.example", day).replace("c@there", "d@there");
    for addr in ["203.0.113.6", "192.0.2.6"] {
        lines.extend([delivery(addr, "a@b.example", 10), other(addr, 8)]);
    }
    // Four hosts do not become known: deliveries to one recipient, on one day, in the first
    // week of the log, and a bounce.
    lines.extend([
        delivery("203.0.114.6", "a@b.example", 10),
        delivery("203.0.114.6", "a@b.example", 8),
    ]);
    lines.extend([
        delivery("203.0.115.6", "a@b.example", 10),
        other("203.0.115.6", 10),
    ]);
    lines.extend([
        delivery("203.0.116.6", "a@b.example", 18),
        other("203.0.116.6", 10),
    ]);
    lines.extend([
        delivery("203.0.117.6", "a@b.example", 10),
        delivery("203.0.117.6", "", 8),
    ]);
    // 192.0.2.6 does not become known: a host of its network connected in the week before.
    lines.push(rejection("192.0.2.200", 12, 0, "Listed"));
    lines.sort_unstable();
    let output = home.run_with(&["learn", "-"], lines.concat().as_bytes());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let known: Vec<String> = states(&home)
        .into_iter()
        .filter(|(_, state)| state == "known")
        .map(|(addr, _)| addr)
        .collect();
    assert_eq!(known, ["198.51.100.1", "203.0.113.6"]);
    let output = home.run(&["known", "list"]);
    let day = |days| stamp(days, 0)[..10].to_owned();
    let line = stdout(&output).lines().last().unwrap();
    for cell in ["203.0.113.6", "known", "-", &day(8)] {
        assert!(line.contains(cell), "{line}");
    }
}

#[test]
fn a_hand_adds_imports_and_removes() {
    let home = Home::new("");
    let run = |args: &[&str], printed: &str, remark: &str| {
        let output = home.run(args);
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert_eq!(stdout(&output), printed, "{args:?}");
        assert_eq!(stderr(&output), remark, "{args:?}");
    };
    run(
        &[
            "known",
            "add",
            "203.0.113.1",
            "2001:db8::1",
            "2001:db8:1::1/64",
        ],
        "2001:db8:1::1/64 acts on 2001:db8:1::/64\nadded 3 senders\n",
        "",
    );
    run(
        &["known", "add", "203.0.113.1"],
        "added 0 senders\n",
        "spamdrop: 203.0.113.1 was added already\n",
    );
    // `known remove` takes the form that `known list` prints.
    run(
        &["known", "remove", "2001:db8::1/128"],
        "removed 1 sender\n",
        "",
    );
    run(&["known", "add", "2001:db8::1"], "added 1 sender\n", "");
    let list = home.write(
        "list",
        b"# partners\n203.0.113.1\n203.0.113.2 # x\n203.0.113.2\n",
    );
    run(
        &["known", "import", &list],
        "added 1 sender\n1 had been added already\n",
        "",
    );
    run(
        &["known", "remove", "203.0.113.1", "203.0.113.9"],
        "removed 1 sender\n",
        "spamdrop: 203.0.113.9 is not a known sender\n",
    );
    run(
        &["known", "remove", "2001:db8:1::1"],
        "removed 0 senders\n",
        "spamdrop: 2001:db8:1::1 is not a known sender by itself; if its /64 is one, \
         `spamdrop known remove 2001:db8:1::/64` removes that\n",
    );
    // Mail from before the removal does not make the sender known again.
    home.run_with(&["learn", "-"], newmsg("203.0.113.1", 0, 5).as_bytes());
    let left = [
        ("203.0.113.1", "demoted"),
        ("203.0.113.2", "by-hand"),
        ("2001:db8::1/128", "by-hand"),
        ("2001:db8:1::/64", "by-hand"),
    ];
    assert_eq!(
        states(&home),
        left.map(|(addr, state)| (addr.into(), state.into()))
    );
}

#[test]
fn wrong_senders_are_refused_and_named() {
    let home = Home::new("known_capacity = 2\n");
    for (args, exit, reason) in [
        (
            &["known", "add", "203.0.113.0/24"][..],
            2,
            "`203.0.113.0/24` is a prefix, but only single senders are known; give their addresses, or use `spamdrop allow add 203.0.113.0/24`",
        ),
        (
            &["known", "remove", "203.0.113.0/24"],
            2,
            "`203.0.113.0/24` is a prefix, but only single senders are known; `spamdrop known list` shows them",
        ),
        (
            &["known", "add", "mx.example"],
            2,
            "`mx.example` is a name, not an address",
        ),
        (
            &["known", "add", "203.0.113.1", "203.0.113.2", "203.0.113.3"],
            1,
            "nothing was added: 3 known senders would have been added by hand, but `known_capacity` is 2; raise it",
        ),
        (
            &["known", "import", "/nonexistent/list"],
            1,
            "cannot read /nonexistent/list: No such file",
        ),
        (&["known", "import"], 2, "error:"),
        (&["known"], 2, ""),
    ] {
        let output = home.run(args);
        assert_eq!(code(&output), exit, "{args:?}");
        assert_eq!(stdout(&output), "", "{args:?}");
        assert!(stderr(&output).contains(reason), "{}", stderr(&output));
    }
    let list = home.write("list", b"203.0.113.1\nmx.example\n");
    let output = home.run(&["known", "import", &list]);
    let said = stderr(&output);
    assert_eq!(code(&output), 1);
    assert!(
        said.starts_with(&format!("spamdrop: {list}, line 2: `mx.example` is a name")),
        "{said}"
    );
    assert_eq!(states(&home), []);
}

#[test]
fn a_damaged_file_is_refused_and_left_alone() {
    let home = Home::new("");
    home.run(&["known", "add", "203.0.113.1"]);
    let path = home.path("state_dir").join("spamdrop.db");
    let mut bytes = fs::read(&path).unwrap();
    let length = bytes.len();
    bytes[4096..length].fill(0x5a);
    fs::write(&path, &bytes).unwrap();
    let log = home.write("mail.log", log().as_bytes());
    for args in [
        &["known", "list"][..],
        &["known", "add", "203.0.113.2"],
        &["known", "remove", "203.0.113.1"],
        &["learn", &log],
    ] {
        let output = home.run(args);
        assert_eq!(code(&output), 1, "{args:?}");
        let said = stderr(&output);
        let expected = format!(
            "spamdrop: cannot use {} (if it is damaged, move it away; `spamdrop learn` fills a new one): ",
            path.display()
        );
        assert!(said.starts_with(&expected), "{said}");
        assert_eq!(fs::read(&path).unwrap(), bytes, "{args:?}");
    }
}

/// Several commands write at once, as a command and the daemon may.
#[test]
fn verbs_take_turns() {
    let home = Home::new("");
    let children: Vec<_> = (1..=8)
        .map(|n| {
            let addr = format!("203.0.113.{n}");
            let mut command = home.command(&["known", "add", &addr]);
            command.stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for mut child in children {
        let line = BufReader::new(child.stdout.take().unwrap()).lines().next();
        assert_eq!(line.unwrap().unwrap(), "added 1 sender");
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(states(&home).len(), 8);
}

/// Sends SIGKILL to a writer at 20 moments between its start and its end.
#[test]
fn a_killed_writer_leaves_all_or_nothing() {
    const TOGETHER: usize = 500;
    let home = Home::new("");
    let import = |round: u8| {
        let sources = (0..TOGETHER).map(|n| format!("10.{round}.{}.{}\n", n / 256, n % 256));
        let list = home.write("list", sources.collect::<String>().as_bytes());
        let mut command = home.command(&["known", "import", &list]);
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let start = Instant::now();
    assert!(import(0).wait().unwrap().success());
    let whole = start.elapsed();
    for round in 1..=20 {
        let mut writer = import(round);
        sleep(whole * round.into() / 20);
        writer.kill().unwrap();
        let status = writer.wait().unwrap();
        let ours = format!("10.{round}.");
        let known = states(&home).into_iter();
        let written = known.filter(|(addr, _)| addr.starts_with(&ours)).count();
        assert!([0, TOGETHER].contains(&written), "{written} of {TOGETHER}");
        assert!(written == TOGETHER || !status.success());
    }
}

/// Writes the files of an older spamdrop, with 500 senders and a wave.
fn write_old_files(home: &Home) {
    let dir = home.path("state_dir");
    fs::create_dir_all(&dir).unwrap();
    let known = rusqlite::Connection::open(dir.join("known.db")).unwrap();
    known
        .execute_batch(
            "CREATE TABLE known (
                addr BLOB PRIMARY KEY, recent1 INTEGER NOT NULL, recent2 INTEGER NOT NULL,
                recent3 INTEGER NOT NULL, earlier_day INTEGER NOT NULL,
                last_accepted INTEGER NOT NULL, demoted INTEGER NOT NULL,
                by_hand INTEGER NOT NULL, delivered INTEGER NOT NULL
            ) STRICT, WITHOUT ROWID;
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
            INSERT INTO known SELECT
                unhex('00000000000000000000ffffc612' || format('%04x', i)), 0, 0, 0, 0, 0, 0, 9, 0
            FROM n;
            PRAGMA application_id = 0x53446b67;
            PRAGMA user_version = 2;",
        )
        .unwrap();
    let waves = rusqlite::Connection::open(dir.join("waves.db")).unwrap();
    waves
        .execute_batch(
            r#"CREATE TABLE waves (
                id INTEGER PRIMARY KEY, end_unix_s INTEGER NOT NULL, wave TEXT NOT NULL
            ) STRICT;
            CREATE TABLE points (
                wave_id INTEGER NOT NULL, at_s INTEGER NOT NULL, open INTEGER NOT NULL,
                waiting INTEGER NOT NULL, admitted INTEGER NOT NULL, refused INTEGER NOT NULL,
                answered INTEGER NOT NULL, PRIMARY KEY (wave_id, at_s)
            ) STRICT, WITHOUT ROWID;
            INSERT INTO waves VALUES (7, 110, '{"start_unix_s":100,"length_s":10.0}');
            PRAGMA application_id = 0x53447776;
            PRAGMA user_version = 1;"#,
        )
        .unwrap();
}

#[test]
fn kill_9_while_old_files_are_taken_over_loses_nothing() {
    for _ in 0..10 {
        let home = Home::new("");
        write_old_files(&home);
        let mut child = home
            .command(&["known", "list"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        sleep(Duration::from_micros(fastrand::u64(..60_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(states(&home).len(), 500);
        let output = home.run(&["report", "--since", "1970-01-01", "--json"]);
        assert!(stdout(&output).contains(r#""start_unix_s":100,"#));
        assert!(!home.path("state_dir").join("known.db").exists());
    }
}
