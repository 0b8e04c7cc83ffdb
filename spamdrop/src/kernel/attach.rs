//! Programs and links: load, attach, replace, detach.

mod load;
mod native;
mod refusal;
mod second_try;
mod steering;
mod verifier;

pub use load::{Filter, load};
pub use steering::{is_steering, steer, unsteer};

use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use rustix::io::Errno;

use crate::kernel::blocklist::migrate::{self, Upgrade};
use crate::kernel::blocklist::pins::{self, Capacity};
use crate::kernel::bpf;
use crate::kernel::network::{self, Interface};
use crate::lock::WriteLock;
use load::load_into;

const LINK_PREFIX: &str = "link_";

/// Where in the network stack the filter runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In the driver; in the generic hook if the driver refuses it.
    #[default]
    Auto,
    /// Only in the driver.
    Native,
    /// In the generic hook, which every interface has.
    Generic,
}

/// The parameters of a load.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Sizes of the block maps.
    pub capacity: Capacity,
    /// Where the filter runs.
    pub mode: Mode,
    /// The level of `--log-packets`. 0: no packet is logged, and logging costs
    /// nothing.
    pub log_level: u8,
}

/// An interface with the filter on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The interface.
    pub interface: Interface,
    /// Whether the interface already had a pinned link, whose program was
    /// replaced.
    pub replaced: bool,
}

/// Attaches the filter to interfaces, or replaces it there without a gap.
/// Pinned maps and links are reused. Nothing is changed after an error, unless
/// an upgrade had replaced a program before it: then the new maps count.
///
/// The filter stays in the kernel when the returned value is dropped.
///
/// # Errors
///
/// No BPF file system, a pinned map of another layout, no such interface, an
/// interface with a foreign program, a mode that the interface refuses.
pub fn attach(
    _lock: &WriteLock,
    pin_dir: &Path,
    names: &[String],
    plan: Plan,
) -> Result<(Filter, Vec<Attached>)> {
    let interfaces = names
        .iter()
        .map(|name| existing(name))
        .collect::<Result<Vec<_>>>()?;
    let adopted = pins::present(pin_dir)?;
    let upgrade = Upgrade::begin(pin_dir)?;
    pins::make_dirs(pin_dir)?;
    let mut done = Done::default();
    let result = attach_all(pin_dir, &interfaces, plan, upgrade.as_ref(), &mut done);
    if result.is_err() {
        for pin in &done.made {
            unlink(pin)?;
        }
        pins::remove_except(pin_dir, &adopted)?;
    }
    match (upgrade, &result) {
        (Some(upgrade), Ok(_)) => upgrade.finish()?,
        // An interface filters by the new maps already, so these count.
        (Some(upgrade), Err(_)) if done.has_replaced => upgrade.finish()?,
        (Some(upgrade), Err(_)) => upgrade.abandon()?,
        (None, _) => {}
    }
    result
}

/// The steps that were done before an error.
#[derive(Default)]
struct Done {
    /// Links that were pinned.
    made: Vec<PathBuf>,
    /// Whether a program that ran was replaced.
    has_replaced: bool,
}

fn existing(name: &str) -> Result<Interface> {
    network::find(name)?
        .with_context(|| format!("there is no interface `{name}`; `ip link` lists them"))
}

fn attach_all(
    pin_dir: &Path,
    interfaces: &[Interface],
    plan: Plan,
    upgrade: Option<&Upgrade>,
    done: &mut Done,
) -> Result<(Filter, Vec<Attached>)> {
    let maps_dir = upgrade.map_or_else(|| pins::maps_dir(pin_dir), Upgrade::staging_dir);
    pins::check(&maps_dir, Some(plan.capacity))?;
    let filter = load_into(&maps_dir, plan)?;
    if let Some(upgrade) = upgrade {
        upgrade.copy()?;
    }
    let program = filter.program()?.fd()?.as_fd();
    let (mut adopted, mut new) = (Vec::new(), Vec::new());
    for interface in interfaces {
        let is_linked = is_linked(pin_dir, interface)?;
        if is_linked { &mut adopted } else { &mut new }.push(interface);
    }
    adopted
        .iter()
        .try_for_each(|interface| ensure_mode(interface, plan.mode))?;
    // Steps that can fail come first, so that the running filter is replaced
    // only if all succeed.
    for interface in new {
        let pin = link_pin(pin_dir, &interface.name);
        remove_file(&pin)?;
        done.made.push(pin.clone());
        let link = native::create(program, interface, plan.mode)?;
        bpf::pin(link.as_fd(), &pin)
            .with_context(|| format!("cannot pin the link {}", pin.display()))?;
    }
    for interface in &adopted {
        replace(program, &link_pin(pin_dir, &interface.name))?;
        done.has_replaced = true;
    }
    if upgrade.is_some() {
        replace_others(program, pin_dir, interfaces)?;
    }
    let attached = interfaces.iter().map(|interface| {
        Ok(Attached {
            interface: existing(&interface.name)?,
            replaced: adopted.contains(&interface),
        })
    });
    let attached = attached.collect::<Result<_>>()?;
    Ok((filter, attached))
}

/// Whether the pinned link of this name is on the interface.
fn is_linked(pin_dir: &Path, interface: &Interface) -> Result<bool> {
    let link = pinned_link(&link_pin(pin_dir, &interface.name))?;
    Ok(link.is_some_and(|link| link.ifindex == interface.index))
}

/// The link that is pinned at `pin`; `None` if nothing, or no link, is pinned
/// there. Any other error is returned: if descriptors run out, a link must not
/// be taken for missing, and its interface for unprotected.
fn pinned_link(pin: &Path) -> Result<Option<bpf::PinnedLink>> {
    match bpf::pinned_link(pin) {
        Ok(link) => Ok(Some(link)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidData) => {
            Ok(None)
        }
        Err(error) => Err(error).with_context(|| format!("cannot read the link {}", pin.display())),
    }
}

/// Replaces the program on interfaces that were not named, because the old
/// program would use maps that are no longer written. The same holds for the
/// steering program; without a daemon it has no responder, so it is only
/// detached, and `run` attaches it again.
fn replace_others(program: BorrowedFd<'_>, pin_dir: &Path, named: &[Interface]) -> Result<()> {
    for link in linked(pin_dir)? {
        let is_named = named.iter().any(|interface| interface.name == link.name);
        if link.interface.is_some() && !is_named {
            replace(program, &link_pin(pin_dir, &link.name))?;
        }
    }
    steering::stop(pin_dir)
}

/// Fails if native mode is wanted and the interface's link is generic, because
/// a link keeps the mode in which it was made.
fn ensure_mode(interface: &Interface, mode: Mode) -> Result<()> {
    let name = &interface.name;
    let generic = interface.xdp.is_some_and(|xdp| !xdp.native);
    if mode == Mode::Native && generic {
        anyhow::bail!("the filter on {name} is generic; for native, `spamdrop detach` first");
    }
    Ok(())
}

fn replace(program: BorrowedFd<'_>, pin: &Path) -> Result<()> {
    bpf::update_link(pin, program)
        .with_context(|| format!("cannot replace the program behind {}", pin.display()))
}

/// The path of an interface's pinned link. A dot is replaced by a colon: bpffs
/// allows no dot in a name, and an interface's name has no colon.
fn link_pin(pin_dir: &Path, interface: &str) -> PathBuf {
    pin_dir.join(format!("{LINK_PREFIX}{}", interface.replace('.', ":")))
}

/// An interface with a pinned link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// The interface's name when the link was pinned.
    pub name: String,
    /// The interface, while it exists in this network namespace.
    pub interface: Option<Interface>,
    /// The filter's program behind the link, as bpftool shows it.
    pub program_id: Option<u32>,
}

/// The interfaces whose links are pinned, sorted by name.
///
/// # Errors
///
/// The pin directory or a link cannot be read, or the kernel does not list the
/// interfaces. No partial list is returned.
pub fn linked(pin_dir: &Path) -> Result<Vec<Linked>> {
    let entries = match fs::read_dir(pin_dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| format!("cannot read {}", pin_dir.display()))?,
    };
    let interfaces = network::interfaces()?;
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.with_context(|| format!("cannot read {}", pin_dir.display()))?;
        let file = entry.file_name();
        let Some(name) = file
            .to_str()
            .and_then(|name| name.strip_prefix(LINK_PREFIX))
        else {
            continue;
        };
        let link = pinned_link(&entry.path())?;
        let index = link.map(|link| link.ifindex);
        found.push(Linked {
            name: name.replace(':', "."),
            interface: interfaces
                .iter()
                .find(|interface| Some(interface.index) == index)
                .cloned(),
            program_id: link.map(|link| link.program_id),
        });
    }
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Detaches the filter from every interface, stops steering and removes every
/// pin.
pub fn detach(lock: &WriteLock, pin_dir: &Path) -> Result<()> {
    unsteer(lock, pin_dir)?;
    for link in linked(pin_dir)? {
        unlink(&link_pin(pin_dir, &link.name))?;
    }
    migrate::remove_all(pin_dir)
}

/// Detaches a pinned link's program from its interface or namespace, and
/// removes the pin.
fn unlink(pin: &Path) -> Result<()> {
    match bpf::detach_link(pin) {
        // The link's interface or namespace is gone, or the link was not
        // pinned.
        Err(error)
            if !matches!(
                Errno::from_io_error(&error),
                Some(Errno::NOENT | Errno::NOLINK)
            ) =>
        {
            return Err(error).with_context(|| format!("cannot detach {}", pin.display()));
        }
        _ => {}
    }
    remove_file(pin)
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn a_link_that_cannot_be_read_is_not_taken_for_missing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(linked(dir.path()).unwrap(), []);
        assert_eq!(linked(&dir.path().join("none")).unwrap(), []);
        let pin = dir.path().join("link_eth0");
        fs::write(&pin, "").unwrap();
        // The directory is not on a BPF file system, so the kernel refuses to
        // open the pin.
        let error = linked(dir.path()).unwrap_err().to_string();
        assert!(error.contains("link_eth0"), "{error}");
        // The pin directory is a regular file.
        assert!(linked(&pin).is_err());
    }
}
