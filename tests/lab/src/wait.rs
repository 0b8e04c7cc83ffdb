//! Polling, for conditions that have no event.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const INTERVAL: Duration = Duration::from_millis(2);

/// Calls `probe` until it returns a value.
///
/// # Errors
///
/// `probe` failed, or returned nothing until `timeout`; the error then contains
/// `what`.
pub fn until<T>(
    what: &str,
    timeout: Duration,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + timeout;
    loop {
        if let Some(value) = probe()? {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            bail!("waited {timeout:?} for {what}");
        }
        sleep(INTERVAL);
    }
}
