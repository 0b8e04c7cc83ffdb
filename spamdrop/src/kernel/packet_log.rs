//! The log of packets that the filter writes with `--log-packets`.

use anyhow::{Context as _, Result};
use aya_log::EbpfLogger;
use log::Log;

use super::attach::Filter;

/// The log target of the records: the name of the filter's crate.
pub const TARGET: &str = "spamdrop_ebpf";

/// The filter's ring buffer of log records.
pub struct PacketLog(EbpfLogger<&'static dyn Log>);

impl PacketLog {
    /// Opens the log of a filter that was loaded with a log level; each filter
    /// has a ring buffer of its own.
    ///
    /// # Errors
    ///
    /// The filter has no log, or the log was already opened.
    pub fn open(filter: &mut Filter) -> Result<Self> {
        let logger = EbpfLogger::init(&mut filter.object);
        Ok(Self(logger.context("cannot read the filter's log")?))
    }

    /// Writes the pending records to this program's log.
    pub fn flush(&mut self) {
        self.0.flush();
    }
}
