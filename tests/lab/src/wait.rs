//! Waiting for what cannot be awaited.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

const INTERVAL: Duration = Duration::from_millis(2);

/// Calls `probe` until it gives a value.
///
/// # Errors
///
/// `probe` failed, or gave nothing for the length of `timeout`; the error then
/// names `what`.
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
