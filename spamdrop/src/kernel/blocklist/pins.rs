//! The pinned maps: their paths, their expected layout, and the check that they
//! have it.
//!
//! Maps are pinned in `PIN_DIR/vN`, N being [`ABI_VERSION`]. Links are pinned
//! in `PIN_DIR` itself, since an upgrade replaces the program behind them.
//!
//! aya 0.14 accepts any map that is pinned under the right name. If its values
//! were wider than ours, the kernel would write past our buffers, so every pin
//! is compared before it is opened or handed to the loader.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use aya::maps::{MapInfo, MapType};
pub use spamdrop_common::abi::{Capacity, PREFIXES};
use spamdrop_common::{
    abi::{ABI_VERSION, MAPS, MapKind, MapSpec},
    names,
};

use crate::account::{self, ActingAsDaemon};
use crate::directory::{self, Owned};
use crate::exit::{Exit, Failure};

/// The version whose maps are pinned in the pin directory itself.
pub(super) const WITHOUT_DIRECTORY: u32 = 1;

/// The directory of this version's maps.
#[must_use]
pub fn maps_dir(pin_dir: &Path) -> PathBuf {
    version_dir(pin_dir, ABI_VERSION)
}

pub(super) fn version_dir(pin_dir: &Path, version: u32) -> PathBuf {
    pin_dir.join(format!("v{version}"))
}

/// The version of the pinned maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinned {
    /// Nothing is pinned.
    Nothing,
    /// Maps of this version.
    Current,
    /// Maps of this older version.
    Older(u32),
    /// Maps of this newer version.
    Newer(u32),
}

/// Determines which version's maps are pinned. If there are several, the lowest
/// one is in force: an upgrade removes the old pins last, so the others belong
/// to an unfinished upgrade, or are left from before a downgrade.
pub fn pinned(pin_dir: &Path) -> Result<Pinned> {
    if exists(&pin_dir.join(names::SETTINGS))? {
        return Ok(Pinned::Older(WITHOUT_DIRECTORY));
    }
    let mut lowest = None;
    for (version, dir) in version_dirs(pin_dir)? {
        if exists(&dir.join(names::SETTINGS))? {
            lowest = Some(lowest.map_or(version, |lowest: u32| lowest.min(version)));
        }
    }
    Ok(match lowest {
        None => Pinned::Nothing,
        Some(ABI_VERSION) => Pinned::Current,
        Some(version) if version < ABI_VERSION => Pinned::Older(version),
        Some(version) => Pinned::Newer(version),
    })
}

/// The directories of all versions, including empty ones.
pub(super) fn version_dirs(pin_dir: &Path) -> Result<Vec<(u32, PathBuf)>> {
    let entries = match fs::read_dir(pin_dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", pin_dir.display()))?,
    };
    let mut dirs = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", pin_dir.display()))?;
        let name = entry.file_name();
        let version = name.to_str().and_then(|name| name.strip_prefix('v'));
        if let Some(version) = version.and_then(|version| version.parse().ok()) {
            dirs.push((version, entry.path()));
        }
    }
    Ok(dirs)
}

/// Whether maps of any version are pinned.
pub fn exist(pin_dir: &Path) -> Result<bool> {
    Ok(pinned(pin_dir)? != Pinned::Nothing)
}

/// Ensures that the pinned maps are of this version. The error message names
/// the pinned version and the next step.
///
/// # Errors
///
/// Nothing is pinned ([`Exit::NotAttached`]), or maps of another version.
pub fn ensure_current(pin_dir: &Path) -> Result<()> {
    let dir = pin_dir.display();
    match pinned(pin_dir)? {
        Pinned::Current => Ok(()),
        Pinned::Nothing => Err(Failure::new(
            Exit::NotAttached,
            format!(
                "no filter is attached (nothing is pinned in {dir}); start one with `spamdrop attach IFACE` or `spamdrop run`"
            ),
        )),
        Pinned::Older(version) => Err(Failure::new(
            Exit::Failed,
            format!(
                "the maps in {dir} are of an older spamdrop (layout v{version}, this is v{ABI_VERSION}); `spamdrop run` or `spamdrop attach IFACE` upgrades them and keeps every entry"
            ),
        )),
        Pinned::Newer(version) => Err(newer(pin_dir, version)),
    }
}

pub(super) fn newer(pin_dir: &Path, version: u32) -> anyhow::Error {
    let dir = pin_dir.display();
    Failure::new(
        Exit::Failed,
        format!(
            "the maps in {dir} are of a newer spamdrop (layout v{version}, this is v{ABI_VERSION}); they are left alone. To go back to this version, save the list with the newer one (`spamdrop export`), then `spamdrop detach`"
        ),
    )
}

/// Fails if `run` could not use the pinned maps or, if nothing is pinned, could
/// not pin its own. Maps of an older version are upgraded at the start.
///
/// # Errors
///
/// The maps are of a newer version or have another capacity, or the path is not
/// on a BPF file system.
pub fn ensure_usable(pin_dir: &Path, capacity: Capacity) -> Result<()> {
    match pinned(pin_dir)? {
        Pinned::Current => check(&maps_dir(pin_dir), Some(capacity)),
        Pinned::Older(_) => Ok(()),
        Pinned::Newer(version) => Err(newer(pin_dir, version)),
        Pinned::Nothing => ensure_bpf_file_system(pin_dir),
    }
}

/// Compares every map that is pinned in `dir`, a directory of maps, with this
/// version's layout. A `capacity` of `None` accepts any size. Maps that are not
/// pinned yet are accepted.
///
/// # Errors
///
/// A map differs. The message names the map, the property and the remedy.
pub fn check(dir: &Path, capacity: Option<Capacity>) -> Result<()> {
    compare(dir, &MAPS, capacity)
}

pub(super) fn compare(dir: &Path, specs: &[MapSpec], capacity: Option<Capacity>) -> Result<()> {
    for spec in specs {
        let path = dir.join(spec.name);
        if !exists(&path)? {
            continue;
        }
        let info = MapInfo::from_pin(&path)
            .with_context(|| format!("cannot open the pinned map {}", path.display()))?;
        if let Some(difference) = difference(spec, &info, capacity) {
            let message = format!(
                "the pinned map {} has {difference}; it is left alone. To start with empty maps: `spamdrop detach`, then start again",
                path.display()
            );
            return Err(Failure::new(Exit::Failed, message));
        }
    }
    Ok(())
}

fn difference(spec: &MapSpec, info: &MapInfo, capacity: Option<Capacity>) -> Option<String> {
    let kind = info.map_type().ok();
    if kind != Some(map_type(spec.kind)) {
        let found = kind.map_or_else(|| "an unknown type".into(), |kind| format!("type {kind:?}"));
        return Some(format!("{found} instead of {:?}", spec.kind));
    }
    let elements = capacity.map_or(info.max_entries(), |sizes| spec.room.elements(sizes));
    let properties = [
        ("a key of", info.key_size(), spec.key_size, "bytes"),
        ("a value of", info.value_size(), spec.value_size, "bytes"),
        ("a capacity of", info.max_entries(), elements, "entries"),
        ("flags", info.map_flags(), spec.flags, ""),
    ];
    properties
        .iter()
        .find(|(_, found, wanted, _)| found != wanted)
        .map(|(what, found, wanted, unit)| {
            let text = format!("{what} {found} instead of {wanted} {unit}");
            text.trim_end().to_owned()
        })
}

fn map_type(kind: MapKind) -> MapType {
    match kind {
        MapKind::Array => MapType::Array,
        MapKind::Hash => MapType::Hash,
        MapKind::LpmTrie => MapType::LpmTrie,
        MapKind::LruHash => MapType::LruHash,
        MapKind::PerCpuArray => MapType::PerCpuArray,
        MapKind::RingBuf => MapType::RingBuf,
        MapKind::SockMap => MapType::SockMap,
    }
}

fn exists(path: &Path) -> Result<bool> {
    path.try_exists()
        .with_context(|| format!("cannot look at {}", path.display()))
}

/// Creates the pin directory and the directory of this version's maps,
/// accessible to the daemon's account only.
///
/// # Errors
///
/// The path is not on a BPF file system, or a directory cannot be created.
pub fn make_dirs(pin_dir: &Path) -> Result<()> {
    prepare(pin_dir)?;
    let _acting = account::act_as_daemon()?;
    make_dir(&maps_dir(pin_dir))
}

/// Begins to act as the daemon's account, which owns the pins. If the pins cannot
/// be given to the account, this only warns: the commands that unblock and detach
/// must work on any machine.
///
/// # Errors
///
/// As [`account::act_as_daemon`].
pub fn act_as_daemon(pin_dir: &Path) -> Result<ActingAsDaemon> {
    // The account may not even search the BPF file system, which systemd mounts
    // for root alone, so it could not tell that nothing is pinned.
    if !pin_dir.exists() {
        return Ok(ActingAsDaemon::unchanged());
    }
    let adopted =
        ensure_bpf_file_system(pin_dir).and_then(|()| directory::adopt(pin_dir, Owned::Pins));
    if let Err(error) = adopted {
        log::warn!("{error:#}");
    }
    account::act_as_daemon()
}

/// Creates the pin directory for the daemon's account.
///
/// # Errors
///
/// As [`make_dirs`].
pub fn prepare(pin_dir: &Path) -> Result<()> {
    ensure_bpf_file_system(pin_dir)?;
    directory::prepare(pin_dir, Owned::Pins)
}

fn ensure_bpf_file_system(pin_dir: &Path) -> Result<()> {
    let parent = pin_dir.parent().unwrap_or(pin_dir);
    let stat = rustix::fs::statfs(parent)
        .map_err(io::Error::from)
        .with_context(|| format!("cannot look at {}", parent.display()))?;
    if stat.f_type != BPF_FS_MAGIC {
        let parent = parent.display();
        anyhow::bail!("{parent} is not a BPF file system; mount one: `mount -t bpf bpf {parent}`");
    }
    Ok(())
}

pub(super) fn make_dir(dir: &Path) -> Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot make the directory {}", dir.display()))
        }
        _ => Ok(()),
    }
}

const BPF_FS_MAGIC: rustix::fs::FsWord = 0xcafe_4a11;

/// The names of this version's maps that are pinned.
pub fn present(pin_dir: &Path) -> Result<Vec<&'static str>> {
    let dir = maps_dir(pin_dir);
    let mut names = Vec::new();
    for spec in &MAPS {
        if exists(&dir.join(spec.name))? {
            names.push(spec.name);
        }
    }
    Ok(names)
}

/// Removes every map of this version except those named in `keep`, and the
/// directories that are then empty.
pub fn remove_except(pin_dir: &Path, keep: &[&str]) -> Result<()> {
    let dir = maps_dir(pin_dir);
    for name in present(pin_dir)? {
        if !keep.contains(&name) {
            remove_file(&dir.join(name))?;
        }
    }
    remove_empty_dir(&dir)?;
    match fs::remove_dir(pin_dir) {
        // An ordinary user cannot remove the pin directory, and only the maps matter.
        Err(error) if error.kind() == ErrorKind::PermissionDenied => Ok(()),
        _ => remove_empty_dir(pin_dir),
    }
}

/// Removes a directory of maps with its content.
pub(super) fn remove_dir(dir: &Path) -> Result<()> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        entries => entries.with_context(|| format!("cannot read {}", dir.display()))?,
    };
    for entry in entries {
        remove_file(
            &entry
                .with_context(|| format!("cannot read {}", dir.display()))?
                .path(),
        )?;
    }
    remove_empty_dir(dir)
}

pub(super) fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

pub(in crate::kernel) fn remove_empty_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir(dir) {
        Err(error)
            if !matches!(
                error.kind(),
                ErrorKind::NotFound | ErrorKind::DirectoryNotEmpty
            ) =>
        {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}
