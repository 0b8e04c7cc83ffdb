//! A directory with logs, their writers and their reader, and the lines that
//! the reader must deliver.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use spamdrop::tail::{MAX_LINE, Tail};
use tempfile::TempDir;

/// An action on a log. If it makes no sense in the current state, it does
/// nothing.
#[derive(Clone, Debug)]
pub enum Action {
    /// Ends the unfinished line if there is one, and writes whole ones.
    Append(u8),
    /// Writes the beginning of a line.
    Unfinished,
    /// Writes a line that is too long, or only begins it.
    Overlong(bool),
    /// Writes to the file that last left the path: a whole line, or the
    /// beginning of one.
    Late(bool),
    /// Renames `log` to `log.1`, or as rotated files are named, and creates a new
    /// log.
    Rotate,
    /// Renames as [`Action::Rotate`] does, but creates no new log.
    Rename,
    /// Creates the log if there is none.
    Create,
    /// Copies the log to `log.1`, or as rotated files are named, and truncates it.
    CopyTruncate,
    Truncate,
    Delete,
    /// Replaces the log by a copy with another inode.
    Copy,
    /// Replaces the log by a copy without some of its lines, as editors do.
    Edit(Cut, usize),
    /// Compresses the newest rotated file.
    Compress(Format),
    /// Makes the log a symbolic link to another file.
    Swap(u8),
    /// Reads at most this number of bytes.
    Poll(usize),
    /// Lets this number of seconds pass.
    Pass(u8),
    /// Stops the reader, and starts it again after these actions. If the flag
    /// is set, the reader reads everything before it stops.
    Restart(bool, Vec<Action>),
}

/// The lines that an editor removes.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    First,
    Middle,
    Last,
}

/// How a rotated file is compressed.
#[derive(Clone, Copy, Debug)]
pub enum Format {
    Gzip,
    Xz,
    Zstd,
}

/// The names of rotated files.
#[derive(Clone, Copy, Debug)]
pub enum Names {
    /// `log.N`, beginning with this number.
    Numbers(u32),
    /// `log.0N`.
    Padded,
    /// `log-20261128`.
    Dates,
    /// `log.2026-11-28`.
    DashedDates,
}

/// The text of each line, and its offset.
type Lines = Vec<(String, u64)>;

/// The index of a content of the log. A new file or a truncation begins a new
/// content.
type Rotation = usize;

/// A file as its writer knows it.
#[derive(Debug)]
struct Log {
    file: File,
    rotation: Rotation,
    length: u64,
    unfinished: Option<(String, u64)>,
    /// Whether the predecessor has a rotated name. That tells the reader that
    /// this content exists, even if it is gone before the reader looks at it.
    announced: bool,
    /// Whether the reader has the file open.
    seen: bool,
    /// Whether the reader knows the first bytes.
    known: bool,
    /// Whether the reader has read everything.
    read: bool,
    /// Whether it is a copy that the reader may not have recognized yet.
    copied: bool,
}

/// The kind of the rotations since the reader last read everything.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Rename,
    Copy,
}

/// The file that last left the path.
struct Former {
    log: Log,
    at: Instant,
    target: u8,
}

pub struct World {
    dir: TempDir,
    state: TempDir,
    linked: bool,
    names: Names,
    tail: Option<Tail>,
    now: Instant,
    log: Option<Log>,
    former: Option<Former>,
    /// Files to which the symbolic link has pointed before.
    targets: BTreeMap<u8, Log>,
    target: u8,
    swapped: bool,
    way: Option<Way>,
    /// Number of rotated names since the reader gave up all old files.
    rotations: u32,
    /// Number of all rotations, from which dates are made.
    dates: u32,
    /// Whether the reader finds the newest rotated file when it is compressed.
    is_rotated_known: bool,
    /// Whether the reader may hold a file that has no name.
    deleted: bool,
    /// Whether the reader may wait until a copy does not grow.
    waits: bool,
    lines: u32,
    expected: Vec<Lines>,
    received: Lines,
}

/// Longer than the follower keeps a rotated file open for late writers (`HOLD`
/// in follow.rs, 5 s).
const HELD: Duration = Duration::from_secs(6);

impl World {
    /// Starts with a log that is a plain file, or is absent at first.
    pub fn new(exists: bool, on_disk: bool, names: Names) -> Self {
        let mut world = Self::empty(on_disk);
        world.names = names;
        if exists {
            world.create();
        }
        world.start();
        world
    }

    /// Starts with a log that is a symbolic link.
    pub fn linked() -> Self {
        let mut world = Self::empty(false);
        world.linked = true;
        symlink("target.0", world.path()).unwrap();
        world.create();
        world.start();
        world
    }

    fn empty(on_disk: bool) -> Self {
        // File systems on disk reuse the inode number of a deleted file. A file
        // system in memory is faster, because saving the positions needs no
        // wait.
        let in_memory = || match Path::new("/dev/shm") {
            memory if memory.is_dir() => tempfile::tempdir_in(memory),
            _ => tempfile::tempdir(),
        };
        let dir = if on_disk {
            tempfile::tempdir()
        } else {
            in_memory()
        };
        Self {
            dir: dir.unwrap(),
            state: in_memory().unwrap(),
            linked: false,
            names: Names::Numbers(1),
            tail: None,
            now: Instant::now(),
            log: None,
            former: None,
            targets: BTreeMap::new(),
            target: 0,
            swapped: false,
            way: None,
            rotations: 0,
            dates: 0,
            is_rotated_known: false,
            deleted: false,
            waits: false,
            lines: 0,
            expected: Vec::new(),
            received: Vec::new(),
        }
    }

    /// Performs the actions, lets the reader finish, and compares the lines.
    pub fn run(mut self, history: &[Action]) -> Result<(), TestCaseError> {
        for action in history {
            self.act(action);
        }
        self.create();
        self.settle();
        self.forget_former();
        let mut received = vec![Vec::new(); self.expected.len()];
        for (text, offset) in self.received {
            let rotation = text.split(' ').nth(1).and_then(|word| word.parse().ok());
            let Some(lines) = rotation.and_then(|number: usize| received.get_mut(number)) else {
                return Err(TestCaseError::fail(format!("received {text:?}")));
            };
            lines.push((text, offset));
        }
        prop_assert_eq!(received, self.expected);
        Ok(())
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Append(count) => self.write(|world, log| world.append(log, *count)),
            Action::Unfinished => self.write(Self::begin),
            Action::Overlong(whole) => self.write(|world, log| world.overlong(log, *whole)),
            Action::Late(whole) => self.late(*whole),
            Action::Rotate => {
                if self.rename() {
                    let announced = self.former.as_ref().is_some_and(|f| f.log.is_traceable());
                    self.create();
                    self.log.as_mut().unwrap().announced = announced;
                }
            }
            Action::Rename => {
                self.rename();
            }
            Action::Create => self.create(),
            Action::CopyTruncate => self.copytruncate(),
            Action::Truncate => self.truncate(),
            Action::Delete => self.delete(),
            Action::Copy => self.copy(),
            Action::Edit(cut, count) => self.edit(*cut, *count),
            Action::Compress(format) => self.compress(*format),
            Action::Swap(target) => self.swap(*target),
            Action::Poll(budget) => {
                self.poll(*budget);
            }
            Action::Pass(seconds) => self.now += Duration::from_secs(u64::from(*seconds)),
            Action::Restart(read, meanwhile) => self.restart(*read, meanwhile),
        }
    }
}

/// The actions of the reader.
impl World {
    fn start(&mut self) {
        let positions = self.state.path().join("positions");
        self.tail = Some(Tail::open(&[self.path()], Some(positions)).unwrap());
        self.way = None;
        self.looked();
    }

    fn restart(&mut self, read: bool, meanwhile: &[Action]) {
        // A new reader finds neither former targets of the link nor deleted files, so
        // this one reads them to the end.
        if self.linked || self.deleted {
            self.settle();
            self.forget_former();
        }
        if read {
            self.read();
        }
        let mut tail = self.tail.take().unwrap();
        tail.begin_save().map_or(Ok(()), |save| save()).unwrap();
        self.swapped = false;
        for action in meanwhile {
            self.act(action);
        }
        self.start();
    }

    /// Reads up to `budget` bytes. Returns whether there is more to read.
    fn poll(&mut self, budget: usize) -> bool {
        let Some(tail) = &mut self.tail else {
            return false;
        };
        let received = &mut self.received;
        let more = tail.poll(self.now, budget, &mut |line| {
            let text = String::from_utf8(line.bytes.to_vec()).unwrap();
            received.push((text, line.offset));
        });
        self.looked();
        if !more {
            self.way = None;
            let waits = self.waits;
            if let Some(log) = self.log.as_mut().filter(|_| !waits) {
                log.read = true;
                log.known |= log.length > 0;
            }
        }
        more
    }

    fn looked(&mut self) {
        if let Some(log) = &mut self.log {
            log.seen = true;
            log.announced = false;
        }
    }

    /// Reads everything, unless the reader is stopped.
    fn read(&mut self) {
        while self.poll(1 << 20) {}
        if self.tail.is_some() && self.waits {
            // The reader waits for a copy that may be under way.
            self.now += Duration::from_secs(1);
            while self.poll(1 << 20) {}
            self.waits = false;
            if let Some(log) = &mut self.log {
                log.copied = false;
            }
            self.poll(1 << 20);
        }
    }

    /// Makes the reader give up every file that has left the path.
    fn settle(&mut self) {
        for _ in 0..2 {
            self.read();
            self.now += HELD;
        }
        self.read();
        self.rotations = 0;
        self.deleted = false;
    }
}

/// The actions of the writers.
impl World {
    fn write(&mut self, write: impl FnOnce(&mut Self, &mut Log)) {
        if let Some(mut log) = self.log.take() {
            write(self, &mut log);
            log.read = false;
            self.log = Some(log);
        }
    }

    fn late(&mut self, whole: bool) {
        let Some(mut former) = self.former.take() else {
            return;
        };
        let late = self.now < former.at + Duration::from_secs(5);
        if late && (self.tail.is_some() || !self.linked) {
            match whole {
                true => self.append(&mut former.log, 1),
                false if !self.linked && !former.log.copied => self.begin(&mut former.log),
                false => {}
            }
        }
        self.former = Some(former);
    }

    fn append(&mut self, log: &mut Log, count: u8) {
        if let Some((text, offset)) = log.unfinished.take() {
            log.write(" end\n");
            self.expect(log.rotation, format!("{text} end"), offset);
        }
        for _ in 0..count {
            let text = self.next_line(log);
            let offset = log.length;
            log.write(&format!("{text}\n"));
            self.expect(log.rotation, text, offset);
        }
    }

    fn begin(&mut self, log: &mut Log) {
        if log.unfinished.is_none() {
            let text = self.next_line(log);
            log.unfinished = Some((text.clone(), log.length));
            log.write(&text);
        }
    }

    fn overlong(&mut self, log: &mut Log, whole: bool) {
        self.begin(log);
        let rest = "y".repeat(MAX_LINE);
        log.write(&rest);
        log.unfinished.as_mut().unwrap().0 += &rest;
        if whole {
            log.write("\n");
            log.unfinished = None;
        }
    }

    fn next_line(&mut self, log: &Log) -> String {
        self.lines += 1;
        format!("{:08} {} {}", self.lines, log.rotation, "x".repeat(60))
    }

    fn expect(&mut self, rotation: Rotation, text: String, offset: u64) {
        if text.len() <= MAX_LINE {
            self.expected[rotation].push((text, offset));
        }
    }
}

/// The actions of the programs that rotate logs.
impl World {
    fn path(&self) -> PathBuf {
        self.dir.path().join("log")
    }

    /// The path of the newest rotated file, without the ending of a compressed
    /// one.
    fn newest(&self) -> PathBuf {
        let name = match self.names {
            Names::Numbers(first) => format!("log.{first}"),
            Names::Padded => "log.01".to_owned(),
            Names::Dates => format!("log-2026{:04}", 1_000 + self.dates),
            Names::DashedDates => format!("log.2026-{:02}-01", 10 + self.dates),
        };
        self.dir.path().join(name)
    }

    fn numbered(&self, n: u32, ending: &str) -> PathBuf {
        let name = match self.names {
            Names::Padded => format!("log.{n:02}{ending}"),
            _ => format!("log.{n}{ending}"),
        };
        self.dir.path().join(name)
    }

    fn create(&mut self) {
        if self.log.is_none() {
            self.expected.push(Vec::new());
            let rotation = self.expected.len() - 1;
            self.log = Some(Log::create(self.path(), rotation));
        }
    }

    /// Prepares a rotation of the kind `way`; returns whether it is possible.
    fn prepare(&mut self, way: Way, traceable: impl Fn(&Log) -> bool) -> bool {
        if self.log.is_none() {
            return false;
        }
        if self.rotations == 8 && self.tail.is_some() {
            self.settle();
        }
        // If the reader has not recognized a copy, nobody can tell whether the copy's
        // unfinished line continues in another file.
        let is_clear = |log: &Log| !log.copied || log.unfinished.is_none();
        let traceable = |log: &Log| traceable(log) && is_clear(log);
        if self.way.is_some_and(|last| last != way) || !self.log.as_ref().is_some_and(traceable) {
            self.read();
        }
        self.way.is_none_or(|last| last == way)
            && self.rotations < 8
            && self.log.as_ref().is_some_and(traceable)
    }

    /// Renames the rotated files, so that the newest name is free.
    fn shift(&mut self, way: Way) {
        self.dates += 1;
        let names = (0..30)
            .rev()
            .flat_map(|n| ENDINGS.map(|ending| (n, ending)));
        for (n, ending) in names {
            let from = self.numbered(n, ending);
            if from.exists() {
                fs::rename(from, self.numbered(n + 1, ending)).unwrap();
            }
        }
        self.way = Some(way);
        self.rotations += 1;
        let log = self.log.as_ref().unwrap();
        // The reader recognizes a compressed file only by its first bytes.
        self.is_rotated_known = log.known && !log.copied;
    }

    fn rename(&mut self) -> bool {
        if !self.prepare(Way::Rename, Log::is_traceable) {
            return false;
        }
        self.shift(Way::Rename);
        fs::rename(self.path(), self.newest()).unwrap();
        self.depart();
        true
    }

    fn copytruncate(&mut self) {
        // If the reader cannot tell a copy from a renamed file, it takes an
        // unfinished line in the copy for a whole one.
        let traceable = |log: &Log| log.known || (log.announced && log.unfinished.is_none());
        if self.prepare(Way::Copy, traceable) {
            self.shift(Way::Copy);
            fs::copy(self.path(), self.newest()).unwrap();
            self.empty_log(true);
        }
    }

    /// Replaces the log by a copy, which has this content.
    fn replace(&mut self, text: &[u8]) {
        let new = self.dir.path().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, self.path()).unwrap();
        let file = OpenOptions::new().append(true).open(self.path()).unwrap();
        let log = self.log.as_mut().unwrap();
        log.file = file;
        log.length = text.len() as u64;
        log.copied = true;
        log.read = false;
        self.waits = true;
    }

    fn copy(&mut self) {
        // A copy of a file that the reader has not opened is a new file to it. If
        // the copy is renamed before the reader sees it, its unfinished line is
        // taken for one that continues elsewhere.
        let is_ready = |log: &Log| log.known && log.unfinished.is_none();
        if self.log.as_ref().is_some_and(is_ready) {
            let text = fs::read(self.path()).unwrap();
            self.replace(&text);
        }
    }

    fn edit(&mut self, cut: Cut, count: usize) {
        self.read();
        let is_ready = |log: &Log| log.read && log.unfinished.is_none();
        if !self.log.as_ref().is_some_and(is_ready) {
            return;
        }
        let text = fs::read(self.path()).unwrap();
        let mut lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        // At least one line is kept: a log without its old lines would be a new file.
        let count = count.min(lines.len().saturating_sub(1));
        let start = match cut {
            Cut::First => 0,
            Cut::Middle => 1.min(lines.len()),
            Cut::Last => lines.len() - count,
        };
        if count > 0 && lines.iter().all(|line| line.len() < MAX_LINE) {
            lines.drain(start..start + count);
            self.replace(&lines.concat());
            // With other first bytes, the log is a new file until the reader has searched
            // it for old lines.
            let log = self.log.as_mut().unwrap();
            log.seen = false;
            log.known = false;
            log.announced = false;
        }
    }

    fn compress(&mut self, format: Format) {
        let newest = self.newest();
        // A file with hardly any bytes is not recognized.
        let text = fs::read(&newest).unwrap_or_default();
        let is_whole = text.len() >= 64 && text.ends_with(b"\n");
        if !self.is_rotated_known || !is_whole {
            return;
        }
        self.forget_former();
        let (ending, packed) = format.pack(&text);
        fs::write(newest.with_added_extension(ending), packed).unwrap();
        fs::remove_file(newest).unwrap();
    }

    fn truncate(&mut self) {
        self.read();
        if self.log.as_ref().is_some_and(|log| log.read) {
            self.empty_log(false);
        }
    }

    fn empty_log(&mut self, announced: bool) {
        self.expected.push(Vec::new());
        let rotation = self.expected.len() - 1;
        let log = self.log.as_mut().unwrap();
        log.file.set_len(0).unwrap();
        log.length = 0;
        log.rotation = rotation;
        log.unfinished = None;
        log.announced = announced;
        log.known = false;
    }

    fn delete(&mut self) {
        let up = self.tail.is_some();
        if up && self.log.as_ref().is_some_and(|log| !log.seen || log.copied) {
            self.poll(1);
        }
        if self.log.as_ref().is_some_and(|log| log.read || up) {
            fs::remove_file(self.path()).unwrap();
            self.depart();
            self.deleted = up;
            if !up {
                self.former = None;
            }
        }
    }

    fn swap(&mut self, target: u8) {
        self.write(|world, log| world.append(log, 0));
        let up = self.tail.is_some();
        if up {
            self.read();
        }
        let ready = self.log.as_ref().is_some_and(|log| log.read) && !self.swapped;
        if target == self.target || !ready {
            return;
        }
        self.swapped = !up;
        self.forget_former();
        let new = self.dir.path().join("new");
        symlink(format!("target.{target}"), &new).unwrap();
        fs::rename(new, self.path()).unwrap();
        self.depart();
        self.log = self.targets.remove(&target);
        self.create();
        self.target = target;
    }

    /// Takes the log from its path.
    fn depart(&mut self) {
        self.forget_former();
        let log = self.log.take().unwrap();
        self.former = Some(Former {
            log,
            at: self.now,
            target: self.target,
        });
    }

    /// Ends the writing to the file that last left the path. Its unfinished
    /// line becomes a line as it is.
    fn forget_former(&mut self) {
        let Some(Former {
            mut log, target, ..
        }) = self.former.take()
        else {
            return;
        };
        if let Some((text, offset)) = log.unfinished.take() {
            self.expect(log.rotation, text, offset);
        }
        if self.linked {
            self.targets.insert(target, log);
        }
    }
}

/// The endings of rotated files.
const ENDINGS: [&str; 4] = ["", ".gz", ".xz", ".zst"];

impl Format {
    /// The ending, and the compressed text.
    fn pack(self, text: &[u8]) -> (&'static str, Vec<u8>) {
        match self {
            Self::Gzip => {
                let level = flate2::Compression::fast();
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
                gzip.write_all(text).unwrap();
                ("gz", gzip.finish().unwrap())
            }
            Self::Xz => {
                let options = lzma_rust2::XzOptions::with_preset(0);
                let mut xz = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
                xz.write_all(text).unwrap();
                ("xz", xz.finish().unwrap())
            }
            Self::Zstd => {
                let level = CompressionLevel::Fastest;
                ("zst", compress_to_vec(text, level))
            }
        }
    }
}

impl Log {
    fn create(path: PathBuf, rotation: Rotation) -> Self {
        let mut options = OpenOptions::new();
        Self {
            file: options.append(true).create(true).open(path).unwrap(),
            rotation,
            length: 0,
            unfinished: None,
            announced: false,
            seen: false,
            known: false,
            read: false,
            copied: false,
        }
    }

    fn write(&mut self, text: &str) {
        self.file.write_all(text.as_bytes()).unwrap();
        self.length += text.len() as u64;
    }

    /// Whether the reader can find the file under a rotated name.
    fn is_traceable(&self) -> bool {
        self.seen || self.announced
    }
}
