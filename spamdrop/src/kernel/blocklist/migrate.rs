//! Upgrades: copies the pinned maps of an older version to maps of this
//! version.
//!
//! The filter stays in force throughout. The new maps are filled in a directory
//! of their own, while the old program filters with the old ones. Then the
//! program behind each link is exchanged, which the kernel does between two
//! packets.
//!
//! The old program counts hits and extends entries until then, so entries may
//! change after they were copied. Nothing but the filter changes them: the
//! caller holds the write lock, and no daemon runs. The old maps are therefore
//! read again after the exchange. Entries that were extended since the copy
//! began are written to the new maps, unless the new program has extended them
//! further. No stored expiry is lost. The upgrade may lose a few hits, and the hits and
//! extensions that the old program held in its cache (`recent_drops4`) and had not yet
//! stored in the entries.
//!
//! The old pins are removed last. After a crash before that, the next start
//! upgrades again from the old pins, which are in force as long as they exist
//! (see [`pins::pinned`]).

mod copy;
pub mod v1;
mod v2;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use spamdrop_common::abi::{ABI_VERSION, MapSpec};
use spamdrop_common::time::MonotonicNs;

use super::pins::{self, Pinned};
use super::{Blocklist, GateMaps};
use crate::clock;
use crate::exit::{Exit, Failure};

/// The directory in which the new maps are filled.
const STAGING: &str = "new";

/// A version that can be upgraded. To add one: write a module for it with its
/// layouts, list it in [`VERSIONS`], and add a row to `tests/upgrade`.
pub struct OldVersion {
    /// The version's number.
    pub version: u32,
    /// The version's pinned maps.
    pub maps: &'static [MapSpec],
    /// Copies all data that this version still uses from the maps in a
    /// directory.
    copy: fn(from: &Path, to: &mut NewMaps) -> Result<()>,
    /// Copies again the entries that the old filter may have changed since `since`,
    /// and adds the old filter's counters.
    copy_changed: fn(from: &Path, to: &mut NewMaps, since: MonotonicNs) -> Result<()>,
}

/// The maps that the upgrade fills.
struct NewMaps {
    blocklist: Blocklist,
    gate: GateMaps,
}

impl NewMaps {
    fn open(dir: &Path) -> Result<Self> {
        Ok(Self {
            blocklist: Blocklist::open_maps(dir)?,
            gate: GateMaps::open_maps(dir)?,
        })
    }
}

/// Every version that can be upgraded to this one.
pub const VERSIONS: &[OldVersion] = &[v1::VERSION, v2::VERSION, v2::VERSION_3];

impl OldVersion {
    /// The directory of the version's maps.
    #[must_use]
    pub fn dir(&self, pin_dir: &Path) -> PathBuf {
        if self.version == pins::WITHOUT_DIRECTORY {
            pin_dir.to_owned()
        } else {
            pins::version_dir(pin_dir, self.version)
        }
    }

    fn remove(&self, pin_dir: &Path) -> Result<()> {
        if self.version == pins::WITHOUT_DIRECTORY {
            remove_without_directory(pin_dir)
        } else {
            pins::remove_dir(&self.dir(pin_dir))
        }
    }
}

/// An upgrade that has begun.
pub struct Upgrade {
    old: &'static OldVersion,
    pin_dir: PathBuf,
    started: MonotonicNs,
}

impl Upgrade {
    /// Begins an upgrade if maps of an older version are pinned.
    ///
    /// # Errors
    ///
    /// The pinned maps are of a newer version, of one that cannot be upgraded,
    /// or do not have the layout of their version.
    pub fn begin(pin_dir: &Path) -> Result<Option<Self>> {
        remove_staging(pin_dir)?;
        let version = match pins::pinned(pin_dir)? {
            Pinned::Nothing | Pinned::Current => return Ok(None),
            Pinned::Newer(version) => return Err(pins::newer(pin_dir, version)),
            Pinned::Older(version) => version,
        };
        let Some(old) = VERSIONS.iter().find(|old| old.version == version) else {
            let dir = pin_dir.display();
            let message = format!(
                "the maps in {dir} have the layout v{version}, which this spamdrop (v{ABI_VERSION}) cannot upgrade. Save the list with the older one (`spamdrop export`), then `spamdrop detach`"
            );
            return Err(Failure::new(Exit::Failed, message));
        };
        pins::compare(&old.dir(pin_dir), old.maps, None)?;
        let upgrade = Self {
            old,
            pin_dir: pin_dir.to_owned(),
            started: clock::monotonic_ns(),
        };
        pins::make_dir(&upgrade.staging_dir())?;
        Ok(Some(upgrade))
    }

    /// The directory in which the new maps are pinned during the upgrade.
    #[must_use]
    pub fn staging_dir(&self) -> PathBuf {
        self.pin_dir.join(STAGING)
    }

    /// The version that is being upgraded.
    #[must_use]
    pub fn from(&self) -> u32 {
        self.old.version
    }

    /// Fills the new maps, which the loader has pinned.
    pub fn copy(&self) -> Result<()> {
        let mut maps = NewMaps::open(&self.staging_dir())?;
        (self.old.copy)(&self.old.dir(&self.pin_dir), &mut maps)
            .context("cannot copy the maps of the older version")
    }

    /// Copies the changes and moves the new pins to their final place. The
    /// caller makes sure that no program uses the old maps any more.
    ///
    /// # Errors
    ///
    /// A map operation fails, or a pin cannot be moved or removed.
    pub fn finish(self) -> Result<()> {
        let staging = self.staging_dir();
        let mut maps = NewMaps::open(&staging)?;
        (self.old.copy_changed)(&self.old.dir(&self.pin_dir), &mut maps, self.started)
            .context("cannot copy the entries that the filter has changed")?;
        let dir = pins::maps_dir(&self.pin_dir);
        // Pins in this directory are not in force: an upgrade that did not end made
        // them, or they are left from before a downgrade.
        pins::remove_dir(&dir)?;
        fs::rename(&staging, &dir)
            .with_context(|| format!("cannot rename {}", staging.display()))?;
        self.old.remove(&self.pin_dir)?;
        log::info!(
            "upgraded the maps from layout v{} to v{ABI_VERSION}",
            self.old.version
        );
        Ok(())
    }

    /// Cancels the upgrade; the old maps stay.
    pub fn abandon(self) -> Result<()> {
        remove_staging(&self.pin_dir)
    }
}

/// Removes the new maps of an unfinished upgrade.
fn remove_staging(pin_dir: &Path) -> Result<()> {
    pins::remove_dir(&pin_dir.join(STAGING))
}

/// Removes the maps that are pinned in the pin directory itself.
fn remove_without_directory(pin_dir: &Path) -> Result<()> {
    for spec in v1::MAPS {
        pins::remove_file(&pin_dir.join(spec.name))?;
    }
    Ok(())
}

/// Removes the maps of every version.
pub fn remove_all(pin_dir: &Path) -> Result<()> {
    remove_staging(pin_dir)?;
    for (_, dir) in pins::version_dirs(pin_dir)? {
        pins::remove_dir(&dir)?;
    }
    remove_without_directory(pin_dir)
}
