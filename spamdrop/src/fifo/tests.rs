#![expect(clippy::unwrap_used, reason = "a test may panic")]
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::thread;

use tempfile::TempDir;

use super::*;

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("recent")
    }

    /// The names in the directory, to check that no temporary file is left.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.0.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

/// Writes as a shell's `>` does.
fn write(path: &Path, text: &str) -> io::Result<()> {
    File::create(path)?.write_all(text.as_bytes())
}

async fn next(fifo: &mut Fifo) -> Option<String> {
    let mut buffer = [0; 16];
    loop {
        fifo.readable().await.unwrap();
        match fifo.read(&mut buffer).unwrap() {
            Got::Bytes(bytes) => return Some(String::from_utf8(bytes.into()).unwrap()),
            Got::End => return None,
            Got::Nothing => {}
        }
    }
}

/// Reads until all writers have closed the FIFO.
async fn all(fifo: &mut Fifo) -> String {
    let mut text = String::new();
    while let Some(more) = next(fifo).await {
        text += &more;
    }
    text
}

#[tokio::test]
async fn what_writers_write_is_read_and_each_end_is_seen() {
    let place = Place::new();
    let mut fifo = Fifo::open(&place.path()).unwrap();
    let metadata = fs::metadata(place.path()).unwrap();
    assert!(metadata.file_type().is_fifo());
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o600);
    for text in ["+192.0.2.1\n", "without end", "in more than one portion\n"] {
        write(&place.path(), text).unwrap();
        assert_eq!(all(&mut fifo).await, text);
    }
    let _writer = File::create(place.path()).unwrap();
    assert_eq!(fifo.read(&mut [0; 16]).unwrap(), Got::Nothing);
}

/// At each end, the reader reopens the FIFO. No write may fail or be lost meanwhile.
#[tokio::test]
async fn writers_that_come_and_go_lose_nothing() {
    const WRITERS: usize = 2000;
    let place = Place::new();
    let mut fifo = Fifo::open(&place.path()).unwrap();
    let path = place.path();
    let writers = thread::spawn(move || (0..WRITERS).try_for_each(|_| write(&path, "x")));
    let mut read = 0;
    while read < WRITERS {
        read += next(&mut fifo).await.map_or(0, |text| text.len());
    }
    writers.join().unwrap().unwrap();
}

#[tokio::test]
async fn a_closed_one_refuses_writers_at_once() {
    let place = Place::new();
    drop(Fifo::open(&place.path()).unwrap());
    for _ in 0..2 {
        let refused = write(&place.path(), "+192.0.2.1").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound);
        assert_eq!(place.names(), ["recent"]);
        assert!(is_left(&place.path()));
        // The next start turns it into a FIFO.
        let mut fifo = Fifo::open(&place.path()).unwrap();
        write(&place.path(), "+192.0.2.1").unwrap();
        assert_eq!(all(&mut fifo).await, "+192.0.2.1");
        assert_eq!(place.names(), ["recent"]);
    }
}

#[tokio::test]
async fn one_that_a_crash_left_is_taken_over_with_its_waiting_writers() {
    let place = Place::new();
    mkfifoat(CWD, place.path(), Mode::from_raw_mode(0o666)).unwrap();
    assert!(is_left(&place.path()));
    let path = place.path();
    let waiting = thread::spawn(move || write(&path, "+192.0.2.1"));
    let mut fifo = Fifo::open(&place.path()).unwrap();
    waiting.join().unwrap().unwrap();
    assert_eq!(all(&mut fifo).await, "+192.0.2.1");
    let mode = fs::metadata(place.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

/// A crash can leave the temporary file beside the path.
#[tokio::test]
async fn remains_beside_the_path_do_not_matter() {
    let place = Place::new();
    symlink(NOWHERE, place.path()).unwrap();
    mkfifoat(CWD, durable::beside(&place.path()), MODE).unwrap();
    let fifo = Fifo::open(&place.path()).unwrap();
    symlink(NOWHERE, durable::beside(&place.path())).unwrap();
    drop(fifo);
    assert_eq!(place.names(), ["recent"]);
}

#[tokio::test]
async fn anything_else_is_refused_and_stays() {
    let place = Place::new();
    fs::write(place.path(), "precious").unwrap();
    let error = format!("{:#}", Fifo::open(&place.path()).unwrap_err());
    assert!(
        error.contains("recent is not a FIFO of the daemon's account; remove it"),
        "{error}"
    );
    assert_eq!(fs::read(place.path()).unwrap(), b"precious");
    assert!(!is_left(&place.path()));

    fs::remove_file(place.path()).unwrap();
    let target = place.0.path().join("fifo");
    mkfifoat(CWD, &target, MODE).unwrap();
    symlink(&target, place.path()).unwrap();
    Fifo::open(&place.path()).unwrap_err();
    assert!(!is_left(&place.path()));

    Fifo::open(&place.path().join("absent")).unwrap_err();
}

#[tokio::test]
async fn what_somebody_put_in_its_place_stays() {
    let place = Place::new();
    let fifo = Fifo::open(&place.path()).unwrap();
    assert!(fifo.is_in_place());
    fs::remove_file(place.path()).unwrap();
    assert!(!fifo.is_in_place());
    fs::write(place.path(), "precious").unwrap();
    drop(fifo);
    assert_eq!(fs::read(place.path()).unwrap(), b"precious");
}
