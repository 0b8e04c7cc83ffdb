//! Runs the engine without a filter, with this machine's addresses, known senders
//! and zones. Nothing is written, and no lock is taken.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Result;
use spamdrop_core::dnsbl::named_zone::ZoneNames;
use spamdrop_core::engine::{BlockTerm, DryRun, DryRunSettings, EngineSettings};
use spamdrop_core::release::ReleaseMode;
use spamdrop_core::reputation::Record;
use spamdrop_core::target::Target;

use crate::config::Config;
use crate::protect;
use crate::store::{STATUS_WAIT, Store};

/// Begins a dry run with the settings of `config`, except those of the engine:
/// `engine` has them, because flags of the command may have changed them. If the
/// known senders, the zones or the slots cannot be read, a warning is logged, and
/// the dry run does without them.
///
/// # Errors
///
/// The kernel does not return the machine's addresses, or the allowlist is
/// invalid.
pub fn begin(config: &Config, engine: EngineSettings) -> Result<DryRun> {
    let protected = protect::protected(&config.allow_file)?;
    let settings = DryRunSettings {
        engine,
        term: BlockTerm {
            ttl_s: config.ttl_s(),
            hard_limit_s: config.hard_limit_s(),
            refresh: config.refresh_mode(),
        },
        grace: (config.release != ReleaseMode::Off).then_some(config.grace),
        slots: slots(config),
    };
    let senders = senders(&config.store_file());
    Ok(DryRun::new(settings, protected, senders, zones(config)))
}

fn slots(config: &Config) -> Option<u32> {
    let slots = config.server_slots();
    if let Some(trouble) = &slots.trouble {
        log::warn!("{trouble}");
    }
    (!slots.is_unknown).then_some(slots.count)
}

fn senders(path: &Path) -> HashMap<Target, Record> {
    let read = Store::read_existing(path, STATUS_WAIT).and_then(|store| match store {
        Some(store) => store.known_senders(),
        None => Ok(Vec::new()),
    });
    read.map(HashMap::from_iter).unwrap_or_else(|error| {
        log::warn!("cannot read the known senders, so only those in the log count: {error:#}");
        HashMap::new()
    })
}

fn zones(config: &Config) -> ZoneNames {
    match config.asked_zones() {
        Ok(zones) => ZoneNames::new(zones.rules(), &[]),
        Err(error) => {
            log::warn!("cannot read the mail server's zones: {error:#}");
            ZoneNames::default()
        }
    }
}
