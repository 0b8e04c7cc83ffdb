//! Writes a growing mail log.

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

/// Rate of the log's growth.
pub const LINES_PER_SECOND: u64 = 100_000;
/// Lines per `write(2)`, as a syslog daemon writes a batch.
const BATCH: u64 = 100;
/// Number of batches that are written before the measurement begins: half a
/// second of load.
const LEAD: u64 = LINES_PER_SECOND / BATCH / 2;
/// The load ends by itself after this time, so that it does not fill the disk.
const LONGEST: Duration = Duration::from_secs(30);

/// Lines that Courier logs beside rejections by a blocklist, and lines of other
/// programs.
const OTHERS: [&str; 10] = [
    "courieresmtpd: started,ip=[::ffff:203.0.113.10],port=[40112]",
    "courieresmtpd: error,relay=::ffff:203.0.113.12,port=50312,from=<a@b.example>,to=<x@here.example>: 550 User <x@here.example> unknown",
    "courierd: newmsg,id=00000000001C0B3A.6561A3AE.00006A21: dns; friend.example (friend.example [::ffff:203.0.113.11])",
    "courierd: started,id=00000000001C0B3A.6561A3AE.00006A21,from=<a@friend.example>,module=local,host=b!!1000!1000!/home/b!!,addr=<b@here.example>",
    "courierlocal: id=00000000001C0B3A.6561A3AE.00006A21,from=<a@friend.example>,addr=<b@here.example>,size=4711,success: Message delivered.",
    "courierd: completed,id=00000000001C0B3A.6561A3AE.00006A21",
    "imapd: LOGIN, user=user7, ip=[::ffff:203.0.113.9], port=[52100], protocol=IMAP",
    "imapd: LOGOUT, user=user7, ip=[::ffff:203.0.113.9], headers=0, body=0, rcvd=12, sent=340, time=1",
    "CRON[4711]: (root) CMD (command -v debian-sa1 > /dev/null && debian-sa1 1 1)",
    "systemd[1]: Started Session 4711 of user root.",
];

/// A thread that writes log lines which cause no block.
pub struct Load {
    stop: Arc<AtomicBool>,
    writer: JoinHandle<Result<f64>>,
}

impl Load {
    /// Starts writing, and returns when the load has lasted for [`LEAD`]
    /// batches.
    ///
    /// # Errors
    ///
    /// The log cannot be opened.
    pub fn start(log: &Path) -> Result<Self> {
        let file = OpenOptions::new().append(true).open(log)?;
        let stop = Arc::<AtomicBool>::default();
        let (ahead, is_ahead) = mpsc::channel();
        let load = Self {
            stop: Arc::clone(&stop),
            writer: thread::spawn(move || write(&file, &stop, &ahead)),
        };
        // If the thread fails first, `stop` reports the error.
        let _ = is_ahead.recv();
        Ok(load)
    }

    /// Ends the load. Returns its rate in lines per second.
    ///
    /// # Errors
    ///
    /// The log could not be written.
    pub fn stop(self) -> Result<f64> {
        self.stop.store(true, Ordering::Release);
        let ended = self.writer.join();
        ended.unwrap_or_else(|_| Err(anyhow!("the load's thread panicked")))
    }
}

fn write(mut file: &File, stop: &AtomicBool, ahead: &Sender<()>) -> Result<f64> {
    let start = Instant::now();
    let mut batches = 0_u64;
    while !stop.load(Ordering::Acquire) && start.elapsed() < LONGEST {
        file.write_all(batch()?.as_bytes()).context("cannot log")?;
        batches += 1;
        if batches == LEAD {
            // Cannot fail, because `start` waits for it.
            let _ = ahead.send(());
        }
        let due = start + Duration::from_secs(batches * BATCH) / LINES_PER_SECOND as u32;
        thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok((batches * BATCH) as f64 / start.elapsed().as_secs_f64())
}

fn batch() -> Result<String> {
    let stamp = jiff::Timestamp::now();
    let mut text = String::new();
    for line in OTHERS.iter().cycle().take(BATCH as usize) {
        writeln!(text, "{stamp:.6} mx1 {line}")?;
    }
    Ok(text)
}
