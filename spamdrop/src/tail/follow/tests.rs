#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::time::SystemTime;

use tempfile::TempDir;

use super::super::split::MAX_LINE;
use super::*;

mod copies;
mod rotated;

/// A directory with a log, and the log's follower.
struct Bench {
    dir: TempDir,
    now: Instant,
    follower: Option<Follower>,
}

impl Bench {
    /// A bench without a follower.
    fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            now: Instant::now(),
            follower: None,
        }
    }

    /// A bench whose follower has read an empty log.
    fn started() -> Self {
        let mut bench = Self::new();
        bench.append("log", "");
        bench.start(None);
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn start(&mut self, saved: Option<Vec<Position>>) {
        self.follower = Some(Follower::new(&self.path("log"), saved));
    }

    /// Stops the follower, runs `meanwhile`, and starts another follower.
    fn restart(&mut self, meanwhile: impl FnOnce(&Self)) {
        let saved = self.follower().positions();
        self.follower = None;
        meanwhile(self);
        self.start(saved);
    }

    fn follower(&mut self) -> &mut Follower {
        self.follower.as_mut().unwrap()
    }

    fn status(&mut self) -> FileStatus {
        self.follower().measure();
        self.follower().status().clone()
    }

    fn append(&self, name: &str, text: &str) {
        append(&self.open(name), text);
    }

    /// Opens a file in the mode that log writers use.
    fn open(&self, name: &str) -> File {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        options.open(self.path(name)).unwrap()
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn copytruncate(&self, to: &str) {
        fs::copy(self.path("log"), self.path(to)).unwrap();
        self.open("log").set_len(0).unwrap();
    }

    /// Makes the log a symlink to `target`, in one step.
    fn swap(&self, target: &str) {
        symlink(target, self.path("new")).unwrap();
        self.rename("new", "log");
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
    }

    /// As [`Bench::lines`], and again a second later, when no copy can be under way any
    /// more.
    fn settled_lines(&mut self) -> Vec<String> {
        let mut lines = self.lines();
        self.pass(1);
        lines.extend(self.lines());
        lines
    }

    /// Replaces the log by an edited copy, as `sed -i` and editors do.
    fn edit(&self, edit: impl FnOnce(Vec<&str>) -> Vec<&str>) {
        let text = fs::read_to_string(self.path("log")).unwrap();
        let edited = edit(text.split_inclusive('\n').collect()).concat();
        fs::write(self.path("edited"), edited).unwrap();
        self.rename("edited", "log");
    }

    /// Compresses a file, and removes it as gzip does.
    fn compress(&self, from: &str, to: &str) {
        let text = fs::read(self.path(from)).unwrap();
        fs::write(self.path(to), packed(&text, to)).unwrap();
        fs::remove_file(self.path(from)).unwrap();
    }

    /// Checks the path once and reads to the end; returns the lines.
    fn lines(&mut self) -> Vec<String> {
        self.full_lines()
            .into_iter()
            .map(|(text, _)| text)
            .collect()
    }

    /// Checks the path once and reads to the end; returns the lines, each with
    /// its backlog flag.
    fn full_lines(&mut self) -> Vec<(String, bool)> {
        let now = self.now;
        let mut lines = Vec::new();
        let mut buffer = vec![0; 65536];
        self.follower().look();
        let mut on_line = |line: LogLine<'_>| {
            let text = String::from_utf8_lossy(line.bytes).into_owned();
            lines.push((text, line.backlog));
        };
        while self.follower().read(now, &mut buffer, &mut on_line) > 0 {}
        lines
    }
}

fn append(mut file: &File, text: &str) {
    file.write_all(text.as_bytes()).unwrap();
}

/// A line that is long enough for a fingerprint.
fn long(name: &str) -> String {
    format!("{name} {}\n", "x".repeat(300))
}

/// The text in the format that the ending of `name` tells.
fn packed(text: &[u8], name: &str) -> Vec<u8> {
    if name.ends_with(".gz") {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(text).unwrap();
        return gzip.finish().unwrap();
    }
    if name.ends_with(".xz") {
        let options = lzma_rust2::XzOptions::with_preset(0);
        let mut xz = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
        xz.write_all(text).unwrap();
        return xz.finish().unwrap();
    }
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
    compress_to_vec(text, CompressionLevel::Fastest)
}

/// A line as a mail server writes it, which differs from all others.
fn mail(n: u32) -> String {
    format!(
        "2026-11-28T08:{:02}:{:02} mx courieresmtpd: {n} {}",
        n / 60,
        n % 60,
        "x".repeat(60)
    )
}

fn mails(numbers: impl IntoIterator<Item = u32>) -> Vec<String> {
    numbers.into_iter().map(mail).collect()
}

impl Bench {
    fn mail(&self, name: &str, numbers: impl IntoIterator<Item = u32>) {
        for n in numbers {
            self.append(name, &format!("{}\n", mail(n)));
        }
    }

    /// A bench whose follower has read ten lines.
    fn with_mail() -> Self {
        let mut bench = Self::started();
        bench.mail("log", 0..10);
        assert_eq!(bench.lines(), mails(0..10));
        bench
    }
}

const NONE: [&str; 0] = [];

#[test]
fn starts_at_the_end_the_first_time() {
    let mut bench = Bench::new();
    bench.append("log", "old\nunfinished");
    bench.start(None);
    assert_eq!(bench.lines(), NONE);
    bench.append("log", " line\nnew\n");
    assert_eq!(bench.lines(), ["unfinished line", "new"]);
}

#[test]
fn starts_behind_an_overlong_line() {
    let mut bench = Bench::new();
    bench.append("log", &"x".repeat(MAX_LINE + 2));
    bench.start(None);
    assert_eq!(bench.lines(), NONE);
    bench.append("log", "rest\nnew\n");
    assert_eq!(bench.lines(), ["new"]);
    assert_eq!(bench.status().overlong, 1);
}

#[test]
fn reads_a_later_file_from_its_beginning() {
    let mut bench = Bench::new();
    let path = bench.path("later/log");
    bench.follower = Some(Follower::new(&path, None));
    let missing = ReadState::Missing("it does not exist".into());
    assert_eq!(bench.status().state, missing);
    assert_eq!(bench.lines(), NONE);
    fs::create_dir(bench.path("later")).unwrap();
    bench.append("later/log", "first\n");
    assert_eq!(bench.full_lines(), [("first".into(), false)]);
    assert_eq!(bench.status().state, ReadState::Reading);
    assert_eq!(bench.status().rotations, 0);
}

#[test]
fn a_file_that_may_be_read_later_is_read_from_its_end() {
    let mut bench = Bench::new();
    bench.append("log", "old\n");
    // Root may read any file, so the refusal is simulated.
    let mut follower = Follower {
        path: bench.path("log"),
        open: Vec::new(),
        attached: false,
        left: Vec::new(),
        from_end: true,
        status: FileStatus::new(&bench.path("log")),
    };
    follower.detach(&io::ErrorKind::PermissionDenied.into());
    assert_eq!(
        follower.status.state,
        ReadState::Missing("permission denied".into())
    );
    assert_eq!(follower.positions(), None);
    bench.follower = Some(follower);
    assert_eq!(bench.lines(), NONE);
    bench.append("log", "new\n");
    assert_eq!(bench.lines(), ["new"]);
}

#[test]
fn refuses_what_is_no_regular_file() {
    let mut bench = Bench::new();
    fs::create_dir(bench.path("log")).unwrap();
    bench.start(None);
    let refused = ReadState::Missing("it is a directory, not a file".into());
    assert_eq!(bench.status().state, refused);
    fs::remove_dir(bench.path("log")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::RWXU;
    rustix::fs::mknodat(rustix::fs::CWD, bench.path("log"), fifo, mode, 0).unwrap();
    assert_eq!(bench.lines(), NONE);
    let refused = ReadState::Missing("it is a FIFO, not a file".into());
    assert_eq!(bench.status().state, refused);
    fs::remove_file(bench.path("log")).unwrap();
    bench.append("log", "first\n");
    assert_eq!(bench.lines(), ["first"]);
}

#[test]
fn survives_a_file_that_cannot_be_read() {
    let mut bench = Bench::started();
    // `/proc/self/mem` is a regular file whose first page cannot be read.
    fs::remove_file(bench.path("log")).unwrap();
    symlink("/proc/self/mem", bench.path("log")).unwrap();
    for _ in 0..2 {
        assert_eq!(bench.lines(), NONE);
        let ReadState::Missing(reason) = bench.status().state else {
            panic!("it is read");
        };
        assert!(reason.starts_with("Input/output error"), "{reason}");
    }
    assert_eq!(bench.status().rotations, 0);
    fs::remove_file(bench.path("log")).unwrap();
    bench.append("log", "new\n");
    assert_eq!(bench.lines(), ["new"]);
}

#[test]
fn drains_a_rotated_file_and_waits_for_late_writers() {
    let mut bench = Bench::started();
    let writer = bench.open("log");
    append(&writer, "1\n");
    bench.rename("log", "log.1");
    bench.append("log", "3\n");
    append(&writer, "2\n");
    assert_eq!(bench.lines(), ["1", "2", "3"]);
    bench.pass(4);
    append(&writer, "late\n");
    assert_eq!(bench.lines(), ["late"]);
    // After a late line, the five seconds start again.
    bench.pass(1);
    assert_eq!(bench.lines(), NONE);
    bench.pass(4);
    append(&writer, "later\n");
    assert_eq!(bench.lines(), ["later"]);
    assert_eq!(bench.lines(), NONE);
    bench.pass(5);
    assert_eq!(bench.lines(), NONE);
    append(&writer, "too late\n");
    assert_eq!(bench.lines(), NONE);
    assert_eq!(bench.follower().open.len(), 1);
    assert_eq!(bench.status().rotations, 1);
}

#[test]
fn survives_rotations_in_quick_succession() {
    let mut bench = Bench::started();
    for round in 0..4 {
        bench.append("log", &format!("{round}\n"));
        bench.rename("log", &format!("old{round}"));
        bench.append("log", "");
        bench.append(&format!("old{round}"), &format!("late {round}\n"));
        bench.pass(1);
        let expected = [format!("{round}"), format!("late {round}")];
        assert_eq!(bench.lines(), expected);
    }
    assert_eq!(bench.status().rotations, 4);
}

#[test]
fn finds_files_that_came_and_went_between_two_looks() {
    let mut bench = Bench::new();
    // The file is older than the log and was never read.
    bench.append("log.1", "ancient\n");
    bench.append("log", "");
    bench.start(None);
    for round in 0..3 {
        bench.append("log", &format!("{round}\n"));
        for n in (1..=3)
            .rev()
            .filter(|n| bench.path(&format!("log.{n}")).exists())
        {
            bench.rename(&format!("log.{n}"), &format!("log.{}", n + 1));
        }
        bench.rename("log", "log.1");
        bench.append("log", "");
    }
    assert_eq!(bench.lines(), ["0", "1", "2"]);
    assert_eq!(bench.lines(), NONE);
}

#[test]
fn holds_few_files_for_late_writers() {
    let mut bench = Bench::started();
    for round in 0..2 * HELD {
        bench.append("log", "line\n");
        bench.rename("log", &format!("old{round}"));
        bench.append("log", "");
        assert_eq!(bench.lines(), ["line"]);
    }
    assert_eq!(bench.follower().open.len(), HELD);
}

#[test]
fn hands_over_the_rest_of_a_rotated_file() {
    let mut bench = Bench::started();
    bench.append("log", "whole\nrest");
    assert_eq!(bench.lines(), ["whole"]);
    bench.rename("log", "log.1");
    bench.append("log", "new\n");
    assert_eq!(bench.lines(), ["new"]);
    bench.pass(5);
    assert_eq!(bench.lines(), ["rest"]);
    bench.pass(5);
    assert_eq!(bench.lines(), NONE);
}

#[test]
fn notices_truncation() {
    let mut bench = Bench::started();
    bench.append("log", "one\ntwo\nrest");
    assert_eq!(bench.lines(), ["one", "two"]);
    bench.open("log").set_len(0).unwrap();
    bench.append("log", "three\n");
    assert_eq!(bench.lines(), ["three"]);
    assert_eq!(bench.status().truncations, 1);
}

#[test]
fn notices_truncation_to_a_part() {
    let mut bench = Bench::started();
    bench.append("log", &long("1"));
    bench.append("log", "2\n");
    assert_eq!(bench.lines().len(), 2);
    // The line that remains was read before.
    bench.open("log").set_len(long("1").len() as u64).unwrap();
    bench.append("log", "3\n");
    assert_eq!(bench.settled_lines(), ["3"]);
    assert_eq!(bench.status().truncations, 1);
}

#[test]
fn nothing_is_backlog_after_a_truncation() {
    let mut bench = Bench::started();
    bench.restart(|bench| bench.append("log", "1\n2\n"));
    let expected = [("1".into(), true), ("2".into(), true)];
    assert_eq!(bench.full_lines(), expected);
    bench.open("log").set_len(0).unwrap();
    bench.append("log", "3\n");
    assert_eq!(bench.full_lines(), [("3".into(), false)]);
}

#[test]
fn notices_truncation_after_the_file_has_regrown() {
    for regrown in ["new\n", "2 new\n", "three lines\nof\nnew text\n"] {
        let mut bench = Bench::started();
        bench.append("log", "old\n");
        assert_eq!(bench.lines(), ["old"]);
        bench.open("log").set_len(0).unwrap();
        bench.append("log", regrown);
        assert_eq!(bench.lines().join("\n") + "\n", regrown);
        assert_eq!(bench.status().truncations, 1);
    }
}

#[test]
fn copytruncate_loses_nothing_that_was_copied() {
    let mut bench = Bench::started();
    bench.append("log", &long("1"));
    assert_eq!(bench.lines().len(), 1);
    bench.append("log", "2\nrest");
    bench.copytruncate("log.1");
    bench.append("log", "3\n");
    assert_eq!(bench.lines(), ["2", "3"]);
    // The unfinished line is discarded: it continued in the original.
    bench.pass(5);
    assert_eq!(bench.lines(), NONE);
    assert_eq!(bench.follower().open.len(), 1);
}

#[test]
fn the_rest_of_a_copy_is_no_line_after_a_restart_either() {
    let mut bench = Bench::started();
    bench.append("log", &long("1"));
    assert_eq!(bench.lines().len(), 1);
    bench.append("log", "rest");
    bench.copytruncate("log.1");
    assert_eq!(bench.lines(), NONE);
    bench.restart(|_| ());
    for _ in 0..3 {
        assert_eq!(bench.lines(), NONE);
        bench.pass(5);
    }
}

#[test]
fn a_copy_is_known_even_if_the_original_goes_at_once() {
    let mut bench = Bench::new();
    bench.append("log", "");
    bench.start(None);
    // The known file log.2 shows that log.1 is newer.
    bench.rename("log", "log.2");
    bench.append("log", &long("1"));
    assert_eq!(bench.lines().len(), 1);
    bench.append("log", "2\n");
    bench.copytruncate("log.1");
    fs::remove_file(bench.path("log")).unwrap();
    bench.append("log", "3\n");
    let mut lines = bench.lines();
    lines.sort();
    assert_eq!(lines, ["2", "3"]);
}

#[test]
fn a_copy_that_is_behind_gives_nothing() {
    let mut bench = Bench::started();
    bench.append("log", &long("1"));
    fs::copy(bench.path("log"), bench.path("log.1")).unwrap();
    bench.append("log", "2\n");
    assert_eq!(bench.lines().len(), 2);
    bench.open("log").set_len(0).unwrap();
    bench.append("log", "3\n");
    assert_eq!(bench.lines(), ["3"]);
}

#[test]
fn drains_a_deleted_file_and_waits_for_the_next() {
    let mut bench = Bench::started();
    let writer = bench.open("log");
    append(&writer, "1\n");
    fs::remove_file(bench.path("log")).unwrap();
    assert_eq!(bench.lines(), ["1"]);
    append(&writer, "2\n");
    assert_eq!(bench.lines(), ["2"]);
    let missing = ReadState::Missing("it does not exist".into());
    assert_eq!(bench.status().state, missing);
    assert_eq!(bench.lines(), NONE);
    bench.pass(5);
    assert_eq!(bench.lines(), NONE);
    assert!(bench.follower().open.is_empty());
    bench.append("log", "3\n");
    assert_eq!(bench.lines(), ["3"]);
    assert_eq!(bench.status().state, ReadState::Reading);
}

#[test]
fn knows_a_file_that_comes_back() {
    for away in [0, 10] {
        let mut bench = Bench::started();
        bench.append("log", "1\n");
        assert_eq!(bench.lines(), ["1"]);
        bench.rename("log", "elsewhere");
        assert_eq!(bench.lines(), NONE);
        bench.pass(away);
        assert_eq!(bench.lines(), NONE);
        bench.append("elsewhere", "2\n");
        bench.rename("elsewhere", "log");
        assert_eq!(bench.lines(), ["2"], "after {away} s");
        assert_eq!(bench.status().rotations, 0);
    }
}

#[test]
fn a_file_that_came_back_is_held_anew() {
    let mut bench = Bench::started();
    bench.rename("log", "elsewhere");
    assert_eq!(bench.lines(), NONE);
    bench.rename("elsewhere", "log");
    assert_eq!(bench.lines(), NONE);
    bench.pass(10);
    bench.rename("log", "elsewhere");
    assert_eq!(bench.lines(), NONE);
    bench.append("elsewhere", "late\n");
    assert_eq!(bench.lines(), ["late"]);
}

#[test]
fn follows_a_symlink_from_file_to_file() {
    let mut bench = Bench::new();
    bench.append("a", "old\n");
    symlink("a", bench.path("log")).unwrap();
    bench.start(None);
    bench.append("a", "1\n");
    bench.swap("b");
    bench.append("b", "3\n");
    bench.append("a", "2\n");
    assert_eq!(bench.lines(), ["1", "2", "3"]);
    bench.append("c", "4\n");
    bench.swap("c");
    for expected in [vec!["4"], vec![]] {
        assert_eq!(bench.lines(), expected);
        bench.pass(5);
    }
    // The file is closed by now, but still remembered.
    bench.append("b", "5\n");
    bench.append("a", "6\n");
    bench.swap("b");
    assert_eq!(bench.lines(), ["5"]);
    bench.swap("a");
    bench.append("a", "7\n");
    assert_eq!(bench.lines(), ["6", "7"]);
}

#[test]
fn follows_the_rotation_behind_a_symlink() {
    let mut bench = Bench::new();
    fs::create_dir(bench.path("real")).unwrap();
    bench.append("real/mail", "");
    symlink("real/mail", bench.path("log")).unwrap();
    bench.start(None);
    for (from, to) in [("real/mail.1", "real/mail.2"), ("real/mail", "real/mail.1")] {
        bench.append(from, &format!("{from}\n"));
        bench.rename(from, to);
    }
    bench.append("real/mail", "new\n");
    bench.rename("real/mail.2", "real/mail.3");
    bench.rename("real/mail.1", "real/mail.2");
    bench.rename("real/mail", "real/mail.1");
    bench.append("real/mail", "newer\n");
    assert_eq!(bench.lines(), ["real/mail", "new", "newer"]);
}

#[test]
fn skips_overlong_lines() {
    let mut bench = Bench::started();
    bench.append("log", &format!("a\n{}\nb\0\n", "x".repeat(1 << 20)));
    assert_eq!(bench.lines(), ["a", "b\0"]);
    assert_eq!(bench.status().overlong, 1);
    assert_eq!(bench.status().lines, 2);
    assert_eq!(bench.status().bytes, (1 << 20) + 6);
}

#[test]
fn resumes_where_it_stopped() {
    let mut bench = Bench::started();
    bench.append("log", "1\n2\nunfinished");
    assert_eq!(bench.lines(), ["1", "2"]);
    bench.restart(|bench| bench.append("log", " line\n3\nsoon"));
    bench.append("log", " done\n4\n");
    let expected = [
        ("unfinished line", true),
        ("3", true),
        ("soon done", false),
        ("4", false),
    ];
    assert_eq!(
        bench.full_lines(),
        expected.map(|(text, old)| (text.into(), old))
    );
}

#[test]
fn resumes_a_file_that_was_rotated_meanwhile() {
    let mut bench = Bench::started();
    bench.append("log", "1\n");
    assert_eq!(bench.lines(), ["1"]);
    bench.restart(|bench| {
        bench.append("log", "2\n");
        bench.rename("log", "log.2");
        bench.append("log.1", "3\n");
        bench.append("log", "4\n");
    });
    assert_eq!(bench.lines(), ["2", "3", "4"]);
    assert_eq!(bench.lines(), NONE);
}

#[test]
fn resumes_a_rotated_file_that_has_no_successor() {
    let mut bench = Bench::started();
    bench.append("log", "1\n");
    assert_eq!(bench.lines(), ["1"]);
    bench.restart(|bench| {
        bench.append("log", "2\n");
        bench.rename("log", "log.1");
    });
    assert_eq!(bench.lines(), ["2"]);
    bench.append("log", "3\n");
    assert_eq!(bench.lines(), ["3"]);
}

#[test]
fn finds_a_file_that_got_the_inode_of_a_known_one_and_was_rotated() {
    let mut bench = Bench::started();
    bench.append("log", "1\n");
    assert_eq!(bench.lines(), ["1"]);
    bench.restart(|bench| {
        // A truncated file stands for a new one with the inode number of the known one.
        bench.open("log").set_len(0).unwrap();
        bench.append("log", "2\n");
        bench.rename("log", "log.1");
        bench.append("log", "3\n");
    });
    assert_eq!(bench.lines(), ["2", "3"]);
}

#[test]
fn finds_such_a_file_behind_one_that_is_known() {
    let mut bench = Bench::started();
    bench.append("log", "1\n");
    assert_eq!(bench.lines(), ["1"]);
    bench.open("log").set_len(0).unwrap();
    bench.rename("log", "log.1");
    bench.append("log", "3\n");
    // The check opens the file without reading it, so the truncation is not
    // noticed.
    bench.follower().look();
    bench.restart(|bench| bench.append("log.1", "2\n"));
    assert_eq!(bench.lines(), ["2", "3"]);
}

#[test]
fn an_unread_file_is_not_taken_for_another_with_its_inode() {
    let mut bench = Bench::started();
    let empty = bench.follower().positions().unwrap();
    fs::remove_file(bench.path("log")).unwrap();
    for _ in 0..2 {
        assert_eq!(bench.lines(), NONE);
        bench.pass(5);
    }
    assert_eq!(bench.follower().open.len(), 0);
    assert!(bench.follower().left.is_empty());
    bench.start(Some(empty.clone()));
    assert!(bench.follower().left.is_empty());
    // But the file is recognized if it was rotated between two runs.
    bench.append("log.1", "1\n");
    bench.append("log", "2\n");
    let id = Id::from_path(&bench.path("log.1")).unwrap();
    let position = empty[0].clone();
    bench.start(Some(vec![Position { id, ..position }]));
    assert_eq!(bench.lines(), ["1", "2"]);
}

#[test]
fn resumes_a_file_that_was_copied_and_truncated_meanwhile() {
    let mut bench = Bench::started();
    bench.append("log", &long("1"));
    assert_eq!(bench.lines().len(), 1);
    bench.restart(|bench| {
        bench.append("log", "2\n");
        bench.copytruncate("log.1");
        bench.append("log", &long("3"));
        bench.append("log", &long("4"));
    });
    let lines = bench.lines();
    assert_eq!(lines[0], "2");
    assert_eq!(lines.len(), 3);
}

#[test]
fn resumes_rotated_files_that_were_not_read_to_their_end() {
    let mut bench = Bench::started();
    bench.append("log", "1\n2\n");
    bench.rename("log", "log.1");
    bench.append("log", "3\n");
    let now = bench.now;
    bench.follower().look();
    let mut first = Vec::new();
    let mut on_line = |line: LogLine<'_>| first.extend_from_slice(line.bytes);
    bench.follower().read(now, &mut [0; 2], &mut on_line);
    assert_eq!(first, b"1");
    bench.restart(|_| ());
    assert_eq!(bench.lines(), ["2", "3"]);
}

#[test]
fn reads_an_unknown_file_from_its_beginning() {
    let mut bench = Bench::started();
    bench.append("log", "old\n");
    assert_eq!(bench.lines(), ["old"]);
    let mut saved = bench.follower().positions().unwrap();
    fs::remove_file(bench.path("log")).unwrap();
    bench.append("log.1", "foreign\n");
    bench.append("log", "new line, longer than the old one\n");
    // The new file has the inode number of the old one.
    saved[0].id = Id::from_path(&bench.path("log")).unwrap();
    bench.start(Some(saved));
    assert_eq!(bench.lines(), ["new line, longer than the old one"]);
}

#[test]
fn remembers_that_a_file_was_absent() {
    let mut bench = Bench::new();
    bench.start(None);
    bench.restart(|bench| bench.append("log", "1\n"));
    assert_eq!(bench.lines(), ["1"]);
}

#[test]
fn remembers_few_files() {
    let mut bench = Bench::started();
    for round in 0..2 * LEFT {
        bench.append("log", &format!("{round}\n"));
        bench.lines();
        bench.rename("log", &format!("old{round}"));
        bench.append("log", "");
        for _ in 0..2 {
            bench.lines();
            bench.pass(5);
        }
    }
    assert_eq!(bench.follower().left.len(), LEFT);
}

#[test]
fn counts_what_is_not_read_yet() {
    let mut bench = Bench::started();
    bench.append("log", "12345\n");
    bench.rename("log", "log.1");
    bench.append("log", "789\n");
    let now = bench.now;
    bench.follower().look();
    bench.follower().read(now, &mut [0; 4], &mut |_| ());
    assert_eq!(bench.status().lag, 6);
    bench.lines();
    assert_eq!(bench.status().lag, 0);
}
