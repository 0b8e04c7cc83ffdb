//! The sizes of the allowlist, and the prefixes whose entries have no effect.

use anyhow::Result;
use spamdrop_core::allowlist::AllowedNets;

use crate::allowlist;
use crate::commands::meter::Meter;
use crate::config::Config;
use crate::kernel::blocklist::Blocklist;
use crate::render::status::AllowlistSizes;

/// A read takes at most 0.1 % of a processor.
const PART: u32 = 1_000;

/// The allowlist of the file and of the filter, as they were read last.
pub(in crate::commands) struct AllowedReader {
    meter: Meter,
    /// Whether there was a filter at the last read.
    is_attached: bool,
    pub(super) sizes: AllowlistSizes,
    pub(super) nets: AllowedNets,
}

impl AllowedReader {
    /// A reader that has read nothing yet.
    pub fn new(config: &Config) -> Self {
        Self {
            meter: Meter::new(PART),
            is_attached: false,
            sizes: AllowlistSizes {
                path: config.allow_file.clone(),
                file: 0,
                automatic: 0,
                unreadable: None,
            },
            nets: AllowedNets::default(),
        }
    }

    /// Reads the file and the filter's list, if that is due, or a filter came or went.
    pub(super) fn read(&mut self, blocklist: Option<&Blocklist>) -> Result<()> {
        if !self.meter.is_due() && self.is_attached == blocklist.is_some() {
            return Ok(());
        }
        self.is_attached = blocklist.is_some();
        let (sizes, nets) = (&mut self.sizes, &mut self.nets);
        self.meter.measure(|| {
            let file = allowlist::read(&sizes.path);
            sizes.file = file.as_ref().map_or(0, |file| file.nets().len());
            sizes.unreadable = file.err().map(|error| format!("{error:#}"));
            let allowed = blocklist.map_or(Ok(Vec::new()), Blocklist::allowed)?;
            sizes.automatic = allowed.iter().filter(|(_, automatic)| *automatic).count();
            *nets = allowed.into_iter().map(|(net, _)| net).collect();
            Ok(())
        })
    }
}
