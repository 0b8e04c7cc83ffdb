#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;
use std::io::Write as _;

use tempfile::TempDir;

use super::super::{Source, Tail};
use super::*;

/// A directory with logs, and their tail.
struct Bench {
    dir: TempDir,
    now: Instant,
    tail: Option<Tail>,
}

impl Bench {
    /// A bench whose tail has not started.
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            now: Instant::now(),
            tail: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut options = fs::OpenOptions::new();
        let file = options.append(true).create(true).open(self.path(name));
        let mut file = file.unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn start(&mut self) {
        let positions = Some(self.path("positions.json"));
        self.tail = Some(Tail::open(&[self.path("mail-*.log")], positions).unwrap());
    }

    fn stop(&mut self) {
        let save = self.tail().begin_save().unwrap();
        save().unwrap();
        self.tail = None;
    }

    fn tail(&mut self) -> &mut Tail {
        self.tail.as_mut().unwrap()
    }

    /// Lets some seconds pass, then returns the new lines, sorted, with `+` if
    /// they are no backlog.
    fn lines_after(&mut self, seconds: u64) -> Vec<String> {
        self.now += Duration::from_secs(seconds);
        let now = self.now;
        let mut lines = Vec::new();
        let more = self.tail().poll(now, usize::MAX, &mut |line| {
            let text = String::from_utf8_lossy(line.bytes);
            lines.push(format!("{text}{}", if line.backlog { "" } else { "+" }));
        });
        assert!(!more);
        lines.sort();
        lines
    }

    fn open_files(&mut self) -> usize {
        let sources = &self.tail().sources;
        sources.iter().flat_map(Source::files).count()
    }

    fn status(&mut self) -> FileStatus {
        let mut files = self.tail().files();
        let status = files.next().unwrap().clone();
        assert!(files.next().is_none());
        status
    }
}

const NONE: [&str; 0] = [];

#[test]
fn all_matching_logs_are_one_source_and_start_at_their_ends() {
    let mut bench = Bench::new();
    bench.append("mail-a.log", "old\n");
    bench.append("mail-b.log", "old\n");
    bench.start();
    assert_eq!(bench.lines_after(0), NONE);
    bench.append("mail-a.log", "a\n");
    bench.append("mail-b.log", "b\n");
    bench.append("other.log", "other\n");
    assert_eq!(bench.lines_after(1), ["a+", "b+"]);
    let status = bench.status();
    assert_eq!((status.lines, status.lag), (2, 0));
    assert_eq!(status.path, bench.path("mail-*.log"));
    assert_eq!(status.state, ReadState::Reading);
}

#[test]
fn a_log_that_appears_is_read_from_its_beginning() {
    let mut bench = Bench::new();
    bench.start();
    let missing = ReadState::Missing("no file matches".into());
    assert_eq!(bench.status().state, missing);
    bench.append("mail-1.log", "first\n");
    assert_eq!(bench.lines_after(1), ["first+"]);
    assert_eq!(bench.status().state, ReadState::Reading);
    bench.append("mail-2.log", "second\n");
    assert_eq!(bench.lines_after(1), ["second+"]);
    fs::remove_file(bench.path("mail-1.log")).unwrap();
    fs::remove_file(bench.path("mail-2.log")).unwrap();
    assert_eq!(bench.lines_after(1), NONE);
    assert_eq!(bench.lines_after(5), NONE);
    let status = bench.status();
    assert_eq!((status.state, status.lines), (missing, 2));
}

#[test]
fn a_log_that_appeared_while_nobody_watched_is_read_as_backlog() {
    let mut bench = Bench::new();
    bench.append("mail-1.log", "old\n");
    bench.start();
    assert_eq!(bench.lines_after(0), NONE);
    bench.stop();
    bench.append("mail-1.log", "late\n");
    bench.append("mail-2.log", "first\n");
    bench.start();
    assert_eq!(bench.lines_after(0), ["first", "late"]);
}

#[test]
fn rotation_of_a_matching_log_loses_and_repeats_nothing() {
    let mut bench = Bench::new();
    bench.append("mail-1.log", "");
    bench.start();
    assert_eq!(bench.lines_after(0), NONE);
    bench.append("mail-1.log", "one\n");
    fs::rename(bench.path("mail-1.log"), bench.path("mail-1.log.1")).unwrap();
    // The directory is listed while the log is away.
    assert_eq!(bench.lines_after(1), ["one+"]);
    bench.append("mail-1.log.1", "late\n");
    assert_eq!(bench.lines_after(3), ["late+"]);
    bench.append("mail-1.log", "two\n");
    assert_eq!(bench.lines_after(1), ["two+"]);
    assert_eq!(bench.status().rotations, 1);
}

#[test]
fn directories_and_fifos_that_match_are_no_logs() {
    let mut bench = Bench::new();
    fs::create_dir(bench.path("mail-dir.log")).unwrap();
    let fifo = bench.path("mail-fifo.log");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
    bench.start();
    assert_eq!(named_by(&bench.path("mail-*.log")), [] as [PathBuf; 0]);
    assert_eq!(bench.lines_after(1), NONE);
}

#[test]
fn of_too_many_logs_those_written_last_are_read_and_none_is_read_twice() {
    let mut bench = Bench::new();
    for number in 0..=MOST {
        bench.append(&format!("mail-{number}.log"), "old\n");
    }
    let set_old = |bench: &Bench, name: &str| {
        let file = fs::File::options().append(true).open(bench.path(name));
        let old = bench.path(name).metadata().unwrap().modified().unwrap();
        let old = old - Duration::from_secs(3600);
        file.unwrap().set_modified(old).unwrap();
    };
    set_old(&bench, "mail-7.log");
    let named = named_by(&bench.path("mail-*.log"));
    assert_eq!(named.last(), Some(&bench.path("mail-7.log")));
    bench.start();
    assert_eq!(bench.open_files(), MOST);
    bench.append("mail-8.log", "eight\n");
    assert_eq!(bench.lines_after(1), ["eight+"]);
    set_old(&bench, "mail-8.log");
    bench.append("mail-7.log", "seven\n");
    assert_eq!(bench.lines_after(1), ["seven+"]);
    // mail-8.log is closed, and its position is kept.
    assert_eq!(bench.lines_after(6), NONE);
    assert_eq!(bench.open_files(), MOST);
    set_old(&bench, "mail-9.log");
    bench.append("mail-8.log", "again\n");
    assert_eq!(bench.lines_after(1), ["again+"]);
    assert_eq!(bench.status().lines, 3);
    bench.stop();
    bench.start();
    assert_eq!(bench.lines_after(7), NONE);
}
