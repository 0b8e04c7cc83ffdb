#![expect(clippy::unwrap_used, reason = "a test may panic")]
//! Tests with a script in place of journalctl. `tests/journal.rs` uses the real
//! one.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use super::*;

const MATCH: &str = "_UID=0";
/// Far longer than any test needs.
const TIMEOUT: Duration = Duration::from_secs(20);

struct Bench {
    dir: TempDir,
    wake: Arc<Notify>,
    now: Instant,
    lines: Vec<String>,
}

impl Bench {
    /// A journalctl that records its arguments and then runs `script`; but it
    /// prints the file `recent` if asked for the newest entry.
    fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let noting = format!(
            "#!/bin/sh\nD={:?}\ncase \"$*\" in *--since=-7d*) exec cat $D/recent;; esac\n\
             for a; do echo \"$a\"; done > $D/args\n{script}\n",
            dir.path()
        );
        fs::write(dir.path().join("recent"), "an entry\n").unwrap();
        fs::write(dir.path().join("script"), noting).unwrap();
        // If the test wrote the file itself, a concurrent test that forks could hold it
        // open for writing, and it could not be executed.
        let mut install = Command::new("install");
        install.args(["-m", "755", "script", "journalctl"]);
        assert!(install.current_dir(&dir).status().unwrap().success());
        Self {
            dir,
            wake: Arc::default(),
            now: Instant::now(),
            lines: Vec::new(),
        }
    }

    fn journal(&self, place: Option<JournalPosition>) -> Journal {
        let program = self.dir.path().join("journalctl");
        let matches = vec![MATCH.into()];
        let now = SystemTime::UNIX_EPOCH + Duration::from_micros(1_234_567);
        Journal::new(program, matches, place, now, Arc::clone(&self.wake))
    }

    fn args(&self) -> String {
        fs::read_to_string(self.dir.path().join("args")).unwrap()
    }

    /// Polls, woken by the threads, until `done`.
    async fn read(&mut self, journal: &mut Journal, done: impl Fn(&FileStatus) -> bool) {
        let lines = &mut self.lines;
        let mut on_line =
            |line: LogLine<'_>| lines.push(String::from_utf8_lossy(line.bytes).into_owned());
        while !done(journal.status()) {
            if journal.read(self.now, 100, &mut on_line) == 0 && !done(journal.status()) {
                let woken = tokio::time::timeout(TIMEOUT, self.wake.notified());
                woken.await.unwrap();
            }
        }
    }

    /// Polls until it is known whether there is a recent entry. It does not wait for `wake`,
    /// because the end of the process notifies nobody.
    async fn read_history(&self, journal: &mut Journal) {
        while !matches!(journal.history, History::Known) {
            journal.read(self.now, 100, &mut |_| {});
            tokio::task::yield_now().await;
        }
    }
}

fn entry(number: u32) -> String {
    format!(
        r#"{{"__CURSOR":"s={number}","__REALTIME_TIMESTAMP":"{number}","SYSLOG_IDENTIFIER":"a","MESSAGE":"{number}"}}"#
    )
}

fn place(cursor: u32) -> JournalPosition {
    JournalPosition {
        time_us: cursor.into(),
        cursor: Some(format!("s={cursor}")),
        matches: vec![MATCH.into()],
    }
}

fn is_missing(status: &FileStatus) -> bool {
    matches!(status.state, ReadState::Missing(_))
}

#[tokio::test]
async fn the_first_start_is_from_now_on() {
    let (one, two) = (entry(1), entry(2));
    let mut bench = Bench::new(&format!("echo '{one}\n{two}'; exec sleep 1000"));
    let mut journal = bench.journal(None);
    bench.read(&mut journal, |status| status.lines == 2).await;
    assert_eq!(
        bench.args(),
        "--follow\n--no-tail\n--no-pager\n--output=json\n\
         --output-fields=MESSAGE,SYSLOG_IDENTIFIER,_PID,_HOSTNAME\n--since=@1.234567\n_UID=0\n"
    );
    assert!(bench.lines[1].ends_with(" - a: 2"), "{:?}", bench.lines);
    assert_eq!(*journal.place(), place(2));
    assert!(journal.status().trusted);
}

#[tokio::test]
async fn a_cursor_is_gone_on_from_and_its_entry_not_taken_twice() {
    let all = [entry(1), entry(2), entry(3)].join("\n");
    let mut bench = Bench::new(&format!("echo '{all}'; exec sleep 1000"));
    let mut journal = bench.journal(Some(place(1)));
    bench.read(&mut journal, |status| status.lines == 2).await;
    assert!(
        bench.args().contains("\n--cursor=s=1\n"),
        "{}",
        bench.args()
    );
    assert_eq!(bench.lines.len(), 2);
    assert!(bench.lines[0].ends_with(": 2"), "{:?}", bench.lines);
}

/// If the cursor's entry is missing, the first entry that journalctl prints is a new one.
#[tokio::test]
async fn an_entry_other_than_the_cursors_is_taken() {
    let mut bench = Bench::new(&format!("echo '{}'; exec sleep 1000", entry(5)));
    let mut journal = bench.journal(Some(place(1)));
    bench.read(&mut journal, |status| status.lines == 1).await;
    assert!(bench.lines[0].ends_with(": 5"), "{:?}", bench.lines);
}

/// The new matches may not select the cursor's entry; that is no loss and
/// causes no warning.
#[test]
fn other_matches_go_on_behind_the_time_of_the_last_entry() {
    assert_eq!(place(1).with_matches(&[MATCH.into()]), place(1));
    let other = vec!["_UID=1".to_owned()];
    let moved = place(1).with_matches(&other);
    assert_eq!(moved.arg(), "--since=@0.000002");
    assert_eq!(
        moved.clone().with_matches(&[MATCH.into()]).arg(),
        moved.arg()
    );
}

#[tokio::test]
async fn a_cursor_that_journalctl_refuses_costs_nothing() {
    let script = format!(
        "case \"$*\" in *--cursor*) echo 'Failed to seek to cursor: Invalid argument' >&2; exit 1;; esac\n\
         echo '{}'; exec sleep 1000",
        entry(8)
    );
    let mut bench = Bench::new(&script);
    let mut journal = bench.journal(Some(place(7)));
    bench.read(&mut journal, is_missing).await;
    assert_eq!(
        journal.status().state,
        ReadState::Missing("journalctl ended: Failed to seek to cursor: Invalid argument".into())
    );
    bench.now += PAUSE;
    bench.read(&mut journal, |status| status.lines == 1).await;
    assert!(
        bench.args().contains("\n--since=@0.000008\n"),
        "{}",
        bench.args()
    );
}

#[tokio::test]
async fn it_is_started_again_after_longer_and_longer_pauses() {
    let script = format!("echo x >> $D/runs; echo '{}'; exit 3", entry(1));
    let mut bench = Bench::new(&script);
    let mut journal = bench.journal(None);
    let runs = |bench: &Bench| {
        let text = fs::read_to_string(bench.dir.path().join("runs")).unwrap();
        text.lines().count()
    };
    for (round, pause) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
        let bytes = journal.status().bytes;
        bench
            .read(&mut journal, |status| status.bytes > bytes)
            .await;
        while journal.reader.is_some() {
            if journal.read(bench.now, 100, &mut |_| ()) == 0 && journal.reader.is_some() {
                tokio::time::timeout(TIMEOUT, bench.wake.notified())
                    .await
                    .unwrap();
            }
        }
        assert!(is_missing(journal.status()));
        assert_eq!(runs(&bench), round + 1);
        bench.now += Duration::from_secs(pause) - Duration::from_millis(1);
        journal.read(bench.now, 100, &mut |_| ());
        assert!(journal.reader.is_none(), "round {round}");
        bench.now += Duration::from_millis(1);
    }
    // journalctl prints the same entry each time, but it is delivered only once.
    assert_eq!(bench.lines.len(), 1);
}

#[tokio::test]
async fn what_is_no_entry_is_counted() {
    let long = r#"head -c 70000 /dev/zero | tr '\0' x; echo"#;
    let mut null = entry(1).replace("\"1\"}", "null}");
    null.push_str("\nnot json");
    let script = format!("{long}; echo '{null}\n{}'; exec sleep 1000", entry(2));
    let mut bench = Bench::new(&script);
    let mut journal = bench.journal(None);
    bench.read(&mut journal, |status| status.lines == 1).await;
    let status = journal.status();
    assert_eq!((status.overlong, status.unfit), (2, 1));
    assert_eq!(*journal.place(), place(2));
}

#[tokio::test]
async fn a_missing_journalctl_is_said_and_tried_again() {
    let mut bench = Bench::new(&format!("echo '{}'; exec sleep 1000", entry(1)));
    let path = bench.dir.path().join("journalctl");
    let mut journal = bench.journal(None);
    fs::rename(&path, bench.dir.path().join("elsewhere")).unwrap();
    bench.read(&mut journal, is_missing).await;
    fs::rename(bench.dir.path().join("elsewhere"), &path).unwrap();
    bench.now += PAUSE;
    bench.read(&mut journal, |status| status.lines == 1).await;
    bench.now += SETTLED;
    journal.read(bench.now, 100, &mut |_| ());
    assert_eq!(journal.status().state, ReadState::Reading);
}

#[tokio::test]
async fn the_process_ends_with_the_source() {
    let mut bench = Bench::new(&format!(
        "echo $$ > $D/pid; echo '{}'; exec sleep 1000",
        entry(1)
    ));
    let mut journal = bench.journal(None);
    bench.read(&mut journal, |status| status.lines == 1).await;
    let pid = fs::read_to_string(bench.dir.path().join("pid")).unwrap();
    let proc = format!("/proc/{}", pid.trim());
    assert!(Path::new(&proc).exists());
    drop(journal);
    // The process was reaped as well: a zombie would still be listed.
    assert!(!Path::new(&proc).exists());
}

#[tokio::test]
async fn a_journal_with_no_entry_of_seven_days_is_told_until_one_comes() {
    let script = format!("read go < $D/go; echo '{}'; exec sleep 1000", entry(1));
    let mut bench = Bench::new(&script);
    let path = |name: &str| bench.dir.path().join(name);
    let (go, recent) = (path("go"), path("recent"));
    assert!(Command::new("mkfifo").arg(&go).status().unwrap().success());
    fs::write(recent, "").unwrap();
    let mut journal = bench.journal(None);
    bench.read_history(&mut journal).await;
    assert!(journal.status().is_empty);
    let text = journal.status().trouble().unwrap();
    assert!(text.starts_with("no entry of the last seven days matches;"));
    fs::write(go, "go\n").unwrap();
    bench.read(&mut journal, |status| status.lines == 1).await;
    assert_eq!(journal.status().trouble(), None);
}

/// Only a journalctl that succeeds knows that there is no entry.
#[tokio::test]
async fn a_journal_that_cannot_be_asked_is_not_called_empty() {
    let bench = Bench::new("exec sleep 1000");
    fs::remove_file(bench.dir.path().join("recent")).unwrap();
    let mut journal = bench.journal(None);
    bench.read_history(&mut journal).await;
    assert!(!journal.status().is_empty);
}
