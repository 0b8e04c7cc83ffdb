//! The log of packets that the filter writes, with `--log-packets`.

use anyhow::{Context as _, Result};
use aya_log::EbpfLogger;
use log::Log;

use super::attach::Filter;

/// The target of its records in this program's log: the crate of the filter.
pub const TARGET: &str = "spamdrop_ebpf";

/// The filter's ring buffer of log records.
pub struct PacketLog(EbpfLogger<&'static dyn Log>);

impl PacketLog {
    /// Opens the log of a filter that was loaded with a level; each filter has
    /// a ring buffer of its own.
    ///
    /// # Errors
    ///
    /// The filter has no log, or it was opened before.
    pub fn open(filter: &mut Filter) -> Result<Self> {
        let logger = EbpfLogger::init(&mut filter.object);
        Ok(Self(logger.context("cannot read the filter's log")?))
    }

    /// Hands the records that wait to this program's log.
    pub fn flush(&mut self) {
        self.0.flush();
    }
}
