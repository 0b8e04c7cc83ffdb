//! Many commands at once.

use std::fs::File;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use super::*;

/// Commands that block `number` addresses, from `first` on.
fn blocks(first: [u8; 4], number: u32) -> String {
    let first = u32::from_be_bytes(first);
    let line = |at| format!("+{} 3600\n", Ipv4Addr::from(first + at));
    (0..number).map(line).collect()
}

/// Appends other lines to the log, and then a rejection of `ZOMBIE`.
fn log_rejection(site: &Site, others: &str) {
    let stamp = jiff::Timestamp::now();
    site.log(&format!(
        "{others}{stamp} mx courieresmtpd: error,relay=::ffff:{ZOMBIE},port=4,\
         from=<a@b.example>,to=<c@here.example>: 511 Blacklisted by zone.example"
    ))
    .unwrap();
}

/// A script restores its blocks in one write after a restart. The daemon must go on
/// reading the log meanwhile.
#[test]
fn twenty_thousand_blocks_come_in_one_write() {
    const BLOCKS: u32 = 20_000;
    /// A release build takes a tenth of this.
    const WITHIN: Duration = Duration::from_secs(10);
    const LAST: &str = "100.80.78.31";
    let site = site();
    let daemon = site.run_logging("info", &[]).unwrap();
    // Each mistake is made twice, at almost the same time: it must be logged once.
    let lines = "+100.82.0.1 1h\nblock 1\n".repeat(2) + &blocks([100, 80, 0, 0], BLOCKS);
    let path = fifo(&site);
    let writer = thread::spawn(move || {
        let mut fifo = File::options().write(true).open(path).unwrap();
        assert_eq!(fifo.write(lines.as_bytes()).unwrap(), lines.len());
    });
    let start = Instant::now();
    let is_blocked = |addr: &str| {
        let shown = site.output(&["show", addr], b"")?;
        Ok(shown.status.success().then_some(()))
    };
    until("the first block", SOON, || is_blocked("100.80.0.0")).unwrap();
    log_rejection(&site, "");
    until("the block of the log", SOON, || is_blocked(ZOMBIE)).unwrap();
    assert_eq!(is_blocked(LAST).unwrap(), None);
    until("the last block", WITHIN, || is_blocked(LAST)).unwrap();
    assert!(start.elapsed() < WITHIN, "{:?}", start.elapsed());
    writer.join().unwrap();
    assert_eq!(site.listed().unwrap().len(), BLOCKS as usize + 1);
    let entry = json(&site, &["show", LAST, "--json"])["entries"][0].clone();
    assert_eq!(
        (&entry["ttl_s"], &entry["fixed"]),
        (&3600.into(), &false.into())
    );
    let counts = counted(&site, "added", BLOCKS.into());
    assert_eq!(counts["malformed"], 4);
    let output = daemon.output();
    for mistake in ["only a number of seconds", "is not a command; write"] {
        let told = output.lines().filter(|line| line.contains(mistake));
        assert_eq!(told.count(), 1, "{output}");
    }
}

/// Each flush walks all maps, and other tasks wait for it.
#[test]
fn flushes_that_follow_each_other_are_one() {
    let site = site();
    let _daemon = site.run().unwrap();
    let burst = "/\n".repeat(2_000);
    fs::write(
        fifo(&site),
        format!("+100.64.0.70\n{burst}+100.64.0.71\n{burst}+100.64.0.72\n"),
    )
    .unwrap();
    wait_for_list(&site, &["100.64.0.72"]);
    let fifo = counted(&site, "added", 3);
    // At least one flush for each burst, and further ones if a burst comes in several
    // reads.
    let flushed = fifo["flushed"].as_u64().unwrap();
    assert!((2..=10).contains(&flushed), "{fifo}");
}

/// SIGSTOP keeps the daemon from reading the commands before SIGTERM tells it to end.
#[test]
fn commands_that_were_written_before_the_stop_are_executed() {
    const BLOCKS: u32 = 1_000;
    let site = site();
    let mut daemon = site.run().unwrap();
    daemon.signal(Signal::SIGSTOP).unwrap();
    fs::write(fifo(&site), blocks([100, 84, 0, 0], BLOCKS)).unwrap();
    daemon.signal(Signal::SIGTERM).unwrap();
    daemon.signal(Signal::SIGCONT).unwrap();
    let status = daemon.exit_status(SOON).unwrap();
    assert!(status.success(), "{}", daemon.output());
    assert_eq!(site.listed().unwrap().len(), BLOCKS as usize);
}

/// Ends the storm even if the test fails.
struct Storm<'a>(&'a AtomicBool);

impl Drop for Storm<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// An endless writer to the FIFO must not delay the log.
#[test]
fn a_storm_of_commands_does_not_keep_the_log_waiting() {
    let site = site();
    let _daemon = site.run().unwrap();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _storm = Storm(&over);
        scope.spawn(|| {
            let commands = b"+100.64.1.1\n-100.64.1.1\n".repeat(100);
            let mut fifo = File::create(fifo(&site)).unwrap();
            while !over.load(Ordering::Relaxed) {
                fifo.write_all(&commands).unwrap();
            }
        });
        counted(&site, "added", 1000);
        // The log has more lines than are read in one turn, so that both inputs
        // ask for another turn.
        let other = "2026-11-23T12:00:00Z mx imapd: LOGIN, user=a@here.example\n";
        log_rejection(&site, &other.repeat(50_000));
        wait_for(&site, ZOMBIE, "origin", "log");
    });
}
