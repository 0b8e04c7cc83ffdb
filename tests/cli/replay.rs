//! `replay`, and `run --dry-run` on logs that anybody may read.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::process::Child;
use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::Value;

use super::*;

const DAY: u64 = 86_400;
const TTL: u64 = 600;
const HARD_LIMIT: u64 = 3_600;

/// Eight days ago.
fn start() -> u64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap().as_secs() - 8 * DAY
}

fn stamp(at: u64) -> String {
    Timestamp::from_second(at.cast_signed())
        .unwrap()
        .to_string()
}

/// A log, and the blocks that follow from it by the documented rules.
#[derive(Default)]
struct Truth {
    log: String,
    /// The start, the end and the last rejection of the blocks of an address.
    blocks: BTreeMap<String, Vec<[u64; 3]>>,
    /// The time of the last connection of an address, if a block dropped it.
    dropped: BTreeMap<String, u64>,
    messages: u32,
}

impl Truth {
    fn write_line(&mut self, at: u64, program: &str, message: &str) {
        writeln!(self.log, "{} mx1 {program}: {message}", stamp(at)).unwrap();
    }

    fn reject(&mut self, at: u64, addr: &str) {
        let message = format!(
            "error,relay=::ffff:{addr},port=4711,from=<a@b.example>,to=<c@d.example>: 511 Listed by zen.example"
        );
        self.write_line(at, "courieresmtpd", &message);
        // Nothing happens in a connection that was dropped.
        if self
            .dropped
            .get(addr)
            .is_some_and(|since| at - since < 3_600)
        {
            return;
        }
        let blocks = self.blocks.entry(addr.to_owned()).or_default();
        match blocks.last_mut() {
            Some([_, end, last]) if at <= *end => (*end, *last) = (at + TTL, at),
            _ => blocks.push([at, at + TTL, at]),
        }
    }

    fn connect(&mut self, at: u64, addr: &str) {
        let message = format!("started,ip=[::ffff:{addr}],port=[4711]");
        self.write_line(at, "courieresmtpd", &message);
        if let Some([_, end, last]) = self.blocks.get_mut(addr).and_then(|all| all.last_mut())
            && at <= *end
        {
            *end = (at + TTL).min(*last + HARD_LIMIT).max(*end);
            self.dropped.insert(addr.to_owned(), at);
        } else {
            self.dropped.remove(addr);
        }
    }

    fn accept(&mut self, at: u64, addr: &str) {
        self.messages += 1;
        let message = format!(
            "newmsg,id={:08X}.6561A3AE.00006A21: dns; mail (mail.example.org [::ffff:{addr}])",
            self.messages
        );
        self.write_line(at, "courierd", &message);
    }

    fn noise(&mut self, at: u64) {
        self.write_line(at, "imapd", "LOGIN, user=anna@example.org, protocol=IMAP");
    }

    /// The address, start and end of each block.
    fn blocks(&self) -> BTreeSet<(String, u64, u64)> {
        let all = self.blocks.iter();
        all.flat_map(|(addr, blocks)| {
            let blocks = blocks.iter();
            blocks.map(|[start, end, _]| (addr.clone(), *start, *end))
        })
        .collect()
    }
}

fn sender(number: u64) -> String {
    format!("198.51.100.{number}")
}

/// Seven days: each hour mail of known senders, each day a wave of bots, some of
/// which come back within the ttl, after it, or again and again.
fn week() -> Truth {
    let (mut truth, start) = (Truth::default(), start());
    let mut random = fastrand::Rng::with_seed(17);
    let mut events: Vec<(u64, u8, String)> = Vec::new();
    for hour in 0..7 * 24 {
        let at = start + 3_600 * hour;
        events.extend((1..=20).map(|n| (at + 60 * n, 0, sender(n))));
        events.extend((0..40).map(|n| (at + 90 * n, 3, String::new())));
    }
    for day in 0..7 {
        for bot in 0..700 {
            let addr = format!("100.96.{}.{}", bot % 3 + 3 * (day % 2), bot / 3);
            let at = start + DAY * day + random.u64(0..7_200);
            events.push((at, 1, addr.clone()));
            for _ in 0..random.u64(0..4) {
                let at = at + random.u64(2..6_000);
                events.push((at, 2, addr.clone()));
                if random.bool() {
                    events.push((at + random.u64(1..20), 1, addr.clone()));
                }
            }
        }
    }
    events.sort();
    // A second rejection within a second is a repeat, whatever its port.
    events.dedup_by(|later, first| (later.0, later.1, &later.2) == (first.0, first.1, &first.2));
    for (at, kind, addr) in events {
        match kind {
            0 => truth.accept(at, &addr),
            1 => truth.reject(at, &addr),
            2 => truth.connect(at, &addr),
            _ => truth.noise(at),
        }
    }
    truth
}

/// The JSON objects of this kind and of this run.
fn objects(output: &Output, kind: &str, run: &str) -> Vec<Value> {
    let objects = stdout(output)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    let is_it = |object: &Value| object["kind"] == kind && object["run"] == run;
    objects.filter(is_it).collect()
}

fn predicted_blocks(output: &Output, run: &str) -> BTreeSet<(String, u64, u64)> {
    let blocks = objects(output, "block", run).into_iter();
    blocks
        .map(|block| {
            let second = |key: &str| block[key].as_u64().unwrap();
            let addr = block["addr"].as_str().unwrap().to_owned();
            (addr, second("from_unix_s"), second("until_unix_s"))
        })
        .collect()
}

fn prediction(output: &Output, run: &str) -> Value {
    objects(output, "prediction", run).remove(0)
}

#[test]
fn a_week_is_predicted_as_its_truth() {
    let home = Home::new("slots = 10");
    let truth = week();
    // Files in any order, one of them compressed, and one that repeats lines.
    let half = truth.log[..truth.log.len() / 2].rfind('\n').unwrap() + 1;
    let older = home.write("mail.log.1", &gzip(&truth.log.as_bytes()[..half]));
    let newer = home.write("mail.log", &truth.log.as_bytes()[half..]);
    let errors = truth
        .log
        .lines()
        .filter(|line| line.contains("error,relay="));
    let errors: String = errors.map(|line| format!("{line}\n")).collect();
    let copy = home.write("mail.err", errors.as_bytes());
    let output = home.run(&["replay", "--json", &newer, &copy, &older]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let (expected, found) = (truth.blocks(), predicted_blocks(&output, "configured"));
    assert!(expected.len() > 3_000, "{}", expected.len());
    let wrong: Vec<_> = expected.symmetric_difference(&found).collect();
    let some = wrong.get(..9).unwrap_or(&wrong);
    assert!(
        wrong.is_empty(),
        "{} of {}: {some:?}",
        wrong.len(),
        expected.len()
    );
    let prediction = prediction(&output, "configured");
    assert_eq!(prediction["known_blocked"], 0);
    assert_eq!(prediction["events"]["accepted"], 7 * 24 * 20);
    assert_eq!(prediction["pauses"], Value::Array(vec![]));
    assert_eq!(prediction["outages"], Value::Array(vec![]));
    assert_eq!(prediction["files"][2], older);
    assert_eq!(prediction["slots"]["ends"], "assumed");
    let recommended = prediction["recommendation"].as_array().unwrap();
    assert_eq!(
        recommended[0],
        "no wanted sender would have been blocked: start `spamdrop run`"
    );
    assert_eq!(recommended.len(), 2);
}

#[test]
fn a_change_is_shown_beside_the_configuration() {
    let home = Home::new("ttl = \"20m\"");
    let mut truth = Truth::default();
    let at = start();
    for (minute, addr) in [(0, "203.0.113.1"), (8, "203.0.113.1"), (9, "203.0.113.2")] {
        truth.reject(at + 60 * minute, addr);
    }
    truth.accept(at + 700, "203.0.113.9");
    let log = home.write("mail.log", truth.log.as_bytes());
    let set = |changes: &[&str]| {
        let mut args = vec!["replay", "--json", &log];
        args.extend(changes.iter().flat_map(|change| ["--set", *change]));
        home.run(&args)
    };
    let output = set(&["ttl=5m", "max_new_per_minute=7"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(prediction(&output, "configured")["blocked"], 2);
    let changed = prediction(&output, "changed");
    assert_eq!(changed["blocked"], 3);
    assert_eq!(changed["changes"][0], "ttl=5m");
    let output = set(&["servers=postfix"]);
    assert_eq!(prediction(&output, "changed")["blocked"], 0);
    assert_eq!(prediction(&output, "configured")["blocked"], 2);
    let output = home.run(&["replay", &log, "--set", "reject_text=sbl"]);
    let text = stdout(&output);
    for expected in [
        "changed: reject_text=sbl\n",
        "CONFIGURED  CHANGED  OF\n",
        "         2        0  blocks\n",
        "2 sources would no longer have been blocked with the changes\n",
    ] {
        assert!(text.contains(expected), "{expected}{text}");
    }
    let output = home.run(&["replay", &log, "--set", "slots=9"]);
    let same = "the changes make no difference in this log\n";
    assert!(
        !stdout(&output).contains(same),
        "the number of slots differs"
    );
    let output = home.run(&["replay", &log, "--set", "max_new_per_minute=70"]);
    assert!(stdout(&output).contains(same), "{}", stdout(&output));
    let output = set(&["capacity4=1048576"]);
    assert_eq!(code(&output), 2);
    let said = "a log does not show the effect of `capacity4`";
    assert!(stderr(&output).contains(said), "{}", stderr(&output));
    let output = set(&["tll=5m"]);
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).contains("did you mean `ttl`?"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_stamp_of_the_future_does_not_hold_back_the_rest_of_its_log() {
    let home = Home::new("");
    let (mut one, mut other, at) = (Truth::default(), Truth::default(), start());
    one.noise(at + 3_000 * DAY);
    one.reject(at + 4_000 * DAY, "203.0.113.9");
    for minute in 0..200 {
        let addr = sender(minute);
        if minute % 2 == 0 {
            &mut one
        } else {
            &mut other
        }
        .reject(at + 60 * minute, &addr);
    }
    let logs = [("a.log", &one), ("b.log", &other)];
    let [one, other] = logs.map(|(name, truth)| home.write(name, truth.log.as_bytes()));
    let output = home.run(&["replay", "--json", &one, &other, &one]);
    let found = prediction(&output, "configured");
    assert_eq!(found["blocked"], 200, "{found}");
    // The third log is the first once more.
    assert_eq!(found["events"]["duplicate"], 101, "{found}");
    // Only the rejection with a stamp of the future is ignored.
    assert_eq!(found["ignored"]["the line is too old"], 1, "{found}");
}

/// On a machine where spamdrop has never run, so that no sender is known.
#[test]
fn a_blocklist_that_lists_everybody_is_called_out() {
    let home = Home::new("");
    let mut truth = Truth::default();
    let at = start();
    for minute in 0..300 {
        truth.accept(at + 60 * minute, &sender(minute % 25 + 1));
    }
    for minute in 300..320 {
        truth.reject(at + 60 * minute, &sender(minute % 25 + 1));
    }
    let log = home.write("mail.log", truth.log.as_bytes());
    let output = home.run(&["replay", &log]);
    let text = stdout(&output);
    assert!(
        text.contains("warning: a blocklist seems to have listed everybody, from "),
        "{text}"
    );
    assert!(
        text.contains("such as with: Listed by zen.example\n"),
        "{text}"
    );
    let last: Vec<&str> = text.lines().rev().take(2).collect();
    assert!(last[1].starts_with("recommendation: blocking would have paused, or a blocklist "));
    assert!(last[0].starts_with("recommendation: keep `admit = \"observe\"`"));
    // No mail was accepted at all.
    let mut truth = Truth::default();
    (0..25).for_each(|n| truth.reject(at + n, &sender(n)));
    let log = home.write("mail.log", truth.log.as_bytes());
    let output = home.run(&["replay", &log]);
    let expected =
        "recommendation: the log shows no accepted mail, so it cannot tell whether wanted senders";
    assert!(stdout(&output).contains(expected), "{}", stdout(&output));
}

#[test]
fn known_senders_of_the_database_that_would_be_blocked_are_listed() {
    let home = Home::new("");
    fs::create_dir(home.path("state_dir")).unwrap();
    let output = home.run(&["known", "add", "203.0.113.7"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let mut truth = Truth::default();
    truth.reject(start(), "203.0.113.7");
    truth.reject(start(), "203.0.113.8");
    let log = home.write("mail.log", truth.log.as_bytes());
    let database = || fs::read(home.path("state_dir/spamdrop.db")).unwrap();
    let before = database();
    let output = home.run(&["replay", &log]);
    let text = stdout(&output);
    assert!(
        text.contains("     1  blocks of known senders; must be 0\n"),
        "{text}"
    );
    assert!(text.contains("known sender 203.0.113.7 would have been blocked at "));
    assert!(!text.contains("known sender 203.0.113.8"), "{text}");
    let step = "put those that shall never be blocked on the allowlist with `spamdrop allow add`";
    assert!(text.contains(step), "{text}");
    assert_eq!(database(), before);
    let files = fs::read_dir(home.path("state_dir")).unwrap();
    assert_eq!(files.count(), 1);
}

#[test]
fn what_cannot_be_read_is_named_and_ends_with_1() {
    let home = Home::new("");
    let mut truth = Truth::default();
    truth.reject(start(), "203.0.113.7");
    let log = home.write("mail.log", truth.log.as_bytes());
    let output = home.run(&["replay", "/nonexistent/mail.log", &log]);
    assert_eq!(code(&output), 1);
    assert!(
        stdout(&output).contains("     1  blocks\n"),
        "{}",
        stdout(&output)
    );
    let missing = "spamdrop: cannot open /nonexistent/mail.log: No such file";
    assert!(stderr(&output).contains(missing), "{}", stderr(&output));
    let output = home.run_with(&["replay", "-"], b"nothing\n");
    assert_eq!(code(&output), 0);
    let nothing = "-: 1 line, none of which tells of a sender\n";
    assert!(stdout(&output).starts_with(nothing), "{}", stdout(&output));
}

fn is_left_alone(home: &Home) {
    for name in ["run_dir", "state_dir", "pin_dir"] {
        assert!(!home.path(name).exists(), "{name}");
    }
}

fn now() -> u64 {
    start() + 8 * DAY
}

#[test]
fn a_dry_run_of_standard_input_ends_with_it_and_writes_nothing() {
    let home = Home::new("");
    let mut truth = Truth::default();
    truth.reject(now(), "203.0.113.7");
    truth.reject(now() - DAY, "203.0.113.8");
    let args = ["run", "--dry-run", "--log", "-"];
    let output = home.run_with(&args, truth.log.as_bytes());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("would block 203.0.113.7: "), "{said}");
    assert!(!said.contains("would block 203.0.113.8"), "{said}");
    let text = stdout(&output);
    assert!(text.starts_with("-: 2 lines, from "), "{text}");
    assert!(text.contains("     1  blocks\n"), "{text}");
    assert!(text.contains("     1  rejections that did not block: the line is too old\n"));
    assert!(text.lines().last().unwrap().starts_with("recommendation: "));
    let args = ["run", "--dry-run", "--json", "--log", "-"];
    let output = home.run_with(&args, truth.log.as_bytes());
    let found = prediction(&output, "configured");
    assert_eq!(
        (&found["blocked"], &found["gate"]),
        (&1.into(), &Value::Null)
    );
    is_left_alone(&home);
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_dry_run_follows_a_log_until_a_signal() {
    let home = Home::new("");
    let mut truth = Truth::default();
    truth.reject(now(), "203.0.113.6");
    let log = home.write("mail.log", truth.log.as_bytes());
    let mut command = home.command(&["run", "--dry-run", "--log", &log]);
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Ended(command.spawn().unwrap());
    let mut said = BufReader::new(child.0.stderr.take().unwrap()).lines();
    let mut await_text = |text: &str| {
        let found = said.find(|line| line.as_ref().unwrap().contains(text));
        assert!(found.is_some(), "{text}");
    };
    await_text("dry run: following ");
    // The dry run begins at the end of the log.
    let mut truth = Truth::default();
    truth.reject(now(), "203.0.113.7");
    let mut file = fs::OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all(truth.log.as_bytes()).unwrap();
    await_text("would block 203.0.113.7: ");
    let pid = rustix::process::Pid::from_child(&child.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let mut text = String::new();
    let mut pipe = child.0.stdout.take().unwrap();
    pipe.read_to_string(&mut text).unwrap();
    assert!(child.0.wait().unwrap().success());
    assert!(text.contains("     1  blocks\n"), "{text}");
    assert!(
        text.contains("203.0.113.7 ") && !text.contains("203.0.113.6"),
        "{text}"
    );
    is_left_alone(&home);
}

#[test]
fn a_dry_run_takes_no_flag_of_the_filter() {
    let home = Home::new("");
    let output = home.run(&["run", "--json"]);
    assert_eq!(code(&output), 2, "only a dry run has JSON");
    for flag in [["--interface", "lo"], ["--port", "25"], ["--mode", "auto"]] {
        let output = home.run(&[&["run", "--dry-run"][..], &flag].concat());
        assert_eq!(code(&output), 2, "{flag:?}");
    }
}
