//! Unlisted senders that connect at equal intervals, and how long each waits for its
//! banner.

use std::net::IpAddr;
use std::thread::{self, scope};
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::site::{Site, dest};

/// How senders connect.
#[derive(Clone, Copy, Debug)]
pub struct Arrivals {
    /// Time from the `connect()` of one sender to that of the next one.
    pub apart: Duration,
    /// How long each sender waits for its banner, from its `connect()` on.
    pub timeout: Duration,
}

/// The time from each source's `connect()` to its banner; `None` if there was
/// none in time.
#[must_use]
pub fn banners<S: Sync>(
    site: &Site<S>,
    sources: Vec<IpAddr>,
    arrivals: Arrivals,
) -> Vec<Option<Duration>> {
    let start = Instant::now();
    let ended = scope(|scope| {
        let threads: Vec<_> = sources
            .into_iter()
            .zip(0_u32..)
            .map(|(source, number)| {
                thread::sleep((arrivals.apart * number).saturating_sub(start.elapsed()));
                scope.spawn(move || banner(site, source, arrivals.timeout))
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join())
            .collect::<Vec<_>>()
    });
    ended.into_iter().map(Result::unwrap_or_default).collect()
}

fn banner<S>(site: &Site<S>, source: IpAddr, timeout: Duration) -> Option<Duration> {
    let start = Instant::now();
    let connected = Client::connect(&site.world, Some(source), dest(source), timeout);
    let mut client = connected.ok()?;
    client.read_reply_until(start + timeout).ok()?;
    let wait = start.elapsed();
    client.quit().ok()?;
    Some(wait)
}

/// Formats the waits in seconds, `None` as `never`.
#[must_use]
pub fn seconds(waits: &[Option<Duration>]) -> String {
    let texts = waits.iter().map(|wait| match wait {
        Some(wait) => format!("{:.1}", wait.as_secs_f64()),
        None => "never".to_owned(),
    });
    texts.collect::<Vec<_>>().join(" ")
}
