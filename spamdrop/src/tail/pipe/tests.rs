#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::{PipeWriter, Write as _, pipe};
use std::thread;
use std::time::Duration;

use super::super::CHUNK;
use super::*;

fn spawned() -> (Pipe, PipeWriter, Arc<Notify>) {
    let (reader, writer) = pipe().unwrap();
    let wake = Arc::new(Notify::new());
    let pipe = Pipe::spawn(Path::new("-"), reader, wake.clone()).unwrap();
    (pipe, writer, wake)
}

/// Reads until `done`; the thread wakes it.
async fn read(
    pipe: &mut Pipe,
    wake: &Notify,
    budget: usize,
    done: impl Fn(&FileStatus) -> bool,
) -> Vec<String> {
    let mut lines = Vec::new();
    let mut on_line = |line: LogLine<'_>| lines.push(String::from_utf8_lossy(line.bytes).into());
    while !done(pipe.status()) {
        if pipe.read(budget, &mut on_line) == 0 && !done(pipe.status()) {
            // Far longer than the test needs.
            let woken = tokio::time::timeout(Duration::from_secs(20), wake.notified());
            woken.await.unwrap();
        }
    }
    lines
}

#[tokio::test]
async fn reads_lines_until_the_end() {
    let (mut pipe, mut writer, wake) = spawned();
    // There is no input, and the read does not block.
    assert_eq!(pipe.read(CHUNK, &mut |_| ()), 0);
    writer.write_all(b"one\ntw").unwrap();
    let lines = read(&mut pipe, &wake, CHUNK, |status| status.bytes == 6).await;
    assert_eq!(lines, ["one"]);
    writer.write_all(b"o\nthree").unwrap();
    let lines = read(&mut pipe, &wake, CHUNK, |status| status.bytes == 13).await;
    assert_eq!(lines, ["two"]);
    drop(writer);
    let lines = read(&mut pipe, &wake, CHUNK, |status| {
        status.state == ReadState::Ended
    })
    .await;
    assert_eq!(lines, ["three"]);
    assert_eq!(pipe.status().lines, 3);
}

#[tokio::test]
async fn keeps_to_the_budget() {
    let (mut pipe, mut writer, wake) = spawned();
    writer.write_all(b"one\ntwo\n").unwrap();
    let lines = read(&mut pipe, &wake, 3, |status| status.bytes >= 6).await;
    assert_eq!(lines, ["one"]);
    assert_eq!((pipe.status().bytes, pipe.status().lag), (6, 2));
}

#[tokio::test]
async fn a_writer_that_is_too_fast_waits() {
    let (mut pipe, mut writer, wake) = spawned();
    let text = "a line\n".repeat(200_000);
    let size = text.len() as u64;
    let feeder = thread::spawn(move || writer.write_all(text.as_bytes()));
    let lines = read(&mut pipe, &wake, CHUNK, |status| status.bytes == size).await;
    assert_eq!(lines.len(), 200_000);
    feeder.join().unwrap().unwrap();
}
