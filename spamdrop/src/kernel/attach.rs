//! Programs and links: load, attach, replace, detach.

mod refusal;
mod steering;

pub use steering::{is_steering, steer, unsteer};

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use aya::programs::links::{FdLink, PinnedLink};
use aya::programs::xdp::{XdpLink, XdpMode};
use aya::programs::{ProgramError, Xdp};
use aya::{Ebpf, EbpfLoader};
use spamdrop_common::abi::MAPS;
use spamdrop_common::names;

use crate::kernel::blocklist::migrate::Upgrade;
use crate::kernel::blocklist::pins::{self, Capacity};
use crate::kernel::bpf;
use crate::kernel::network::{self, Interface};
use crate::lock::WriteLock;
use refusal::{explain, reason, refuses_native};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/spamdrop-ebpf"));

const LINK_PREFIX: &str = "link_";

/// Where in the network stack the filter runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// In the driver; in the generic hook where the driver cannot.
    #[default]
    Auto,
    /// In the driver or not at all.
    Native,
    /// In the generic hook, which every interface has.
    Generic,
}

/// What to load.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Sizes of the block maps.
    pub capacity: Capacity,
    /// Where the filter shall run.
    pub mode: Mode,
    /// The level of `--log-packets`; 0: no packet is logged, at no cost.
    pub log_level: u8,
}

/// The loaded filter: its programs, and its log.
pub struct Filter {
    pub(super) object: Ebpf,
}

/// An interface with the filter on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The interface.
    pub interface: Interface,
    /// Whether its pinned link already was there and got the new program.
    pub replaced: bool,
}

/// Puts the filter on interfaces, or replaces it there without a gap: pinned
/// maps and links are adopted. Nothing is changed after an error.
///
/// The object is returned for its log; it may be dropped.
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
    let mut made = Vec::new();
    let result = attach_all(pin_dir, &interfaces, plan, upgrade.as_ref(), &mut made);
    if result.is_err() {
        for pin in &made {
            unlink(pin)?;
        }
        pins::remove_except(pin_dir, &adopted)?;
    }
    match (upgrade, &result) {
        (Some(upgrade), Ok(_)) => upgrade.finish()?,
        (Some(upgrade), Err(_)) => upgrade.abandon()?,
        (None, _) => {}
    }
    result
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
    made: &mut Vec<PathBuf>,
) -> Result<(Filter, Vec<Attached>)> {
    let maps_dir = upgrade.map_or_else(|| pins::maps_dir(pin_dir), Upgrade::staging_dir);
    pins::check(&maps_dir, Some(plan.capacity))?;
    let mut loaded = load_into(&maps_dir, plan)?;
    if let Some(upgrade) = upgrade {
        upgrade.copy()?;
    }
    let program = loaded.program()?;
    let (adopted, new): (Vec<_>, Vec<_>) = interfaces
        .iter()
        .partition(|interface| is_linked(pin_dir, interface));
    adopted
        .iter()
        .try_for_each(|interface| ensure_mode(interface, plan.mode))?;
    // Whatever may fail comes first: what runs is replaced when all is well.
    for interface in new {
        let pin = link_pin(pin_dir, &interface.name);
        remove_file(&pin)?;
        made.push(pin.clone());
        create(program, interface, plan.mode)?
            .pin(&pin)
            .with_context(|| format!("cannot pin the link {}", pin.display()))?;
    }
    for interface in &adopted {
        replace(program, &link_pin(pin_dir, &interface.name))?;
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
    let object = loaded.object;
    Ok((Filter { object }, attached))
}

/// Whether the pinned link of this name is on the interface.
fn is_linked(pin_dir: &Path, interface: &Interface) -> bool {
    let pin = link_pin(pin_dir, &interface.name);
    bpf::pinned_link(&pin).is_ok_and(|link| link.ifindex == interface.index)
}

/// Replaces the program on interfaces that were not named: it would go on with
/// maps that nobody writes any more. So would the one that steers; without a
/// daemon it has no responder, and `run` begins to steer anew.
fn replace_others(program: &mut Xdp, pin_dir: &Path, named: &[Interface]) -> Result<()> {
    for link in linked(pin_dir)? {
        let is_named = named.iter().any(|interface| interface.name == link.name);
        if link.interface.is_some() && !is_named {
            replace(program, &link_pin(pin_dir, &link.name))?;
        }
    }
    steering::stop(pin_dir)
}

/// The filter in the kernel, on no interface yet.
pub struct Loaded {
    /// The object, for its log.
    pub object: Ebpf,
    name: &'static str,
}

impl Loaded {
    /// The program that the kernel took: the multi-buffer one, or the plain
    /// one on kernels before 5.18.
    ///
    /// # Errors
    ///
    /// None in an object that this crate built.
    pub fn program(&mut self) -> Result<&mut Xdp> {
        program(&mut self.object, self.name)
    }
}

/// Loads the filter; its maps are pinned below `pin_dir` or adopted from there.
/// They must have been compared before ([`pins::check`]).
///
/// # Errors
///
/// The kernel refuses the maps or the program.
pub fn load(pin_dir: &Path, plan: Plan) -> Result<Loaded> {
    load_into(&pins::maps_dir(pin_dir), plan)
}

fn load_into(maps_dir: &Path, plan: Plan) -> Result<Loaded> {
    let mut loader = EbpfLoader::new();
    loader.override_global(
        aya_log::LEVEL,
        &plan.log_level,
        cfg!(feature = "packet-log"),
    );
    for spec in &MAPS {
        loader.map_pin_path(spec.name, maps_dir.join(spec.name));
        loader.map_max_entries(spec.name, spec.room.elements(plan.capacity));
    }
    let mut object = loader
        .load(OBJECT)
        .context("the kernel refuses the filter's maps")?;
    let name = match program(&mut object, names::PROGRAM_FRAGS)?.load() {
        Ok(()) => names::PROGRAM_FRAGS,
        Err(error) => {
            log::debug!("no multi-buffer program: {error}");
            let plain = program(&mut object, names::PROGRAM_PLAIN)?;
            plain.load().context("the kernel refuses the filter")?;
            names::PROGRAM_PLAIN
        }
    };
    Ok(Loaded { object, name })
}

fn program<'object>(object: &'object mut Ebpf, name: &str) -> Result<&'object mut Xdp> {
    let program = object
        .program_mut(name)
        .with_context(|| format!("the object holds no program `{name}`"))?;
    Ok(program.try_into()?)
}

/// A link keeps the mode in which it was made.
fn ensure_mode(interface: &Interface, mode: Mode) -> Result<()> {
    let name = &interface.name;
    let generic = interface.xdp.is_some_and(|xdp| !xdp.native);
    if mode == Mode::Native && generic {
        anyhow::bail!("the filter on {name} is generic; for native, `spamdrop detach` first");
    }
    Ok(())
}

fn replace(program: &mut Xdp, pin: &Path) -> Result<()> {
    let link = FdLink::from(PinnedLink::from_pin(pin)?);
    program
        .attach_to_link(XdpLink::try_from(link)?)
        .with_context(|| format!("cannot replace the program behind {}", pin.display()))?;
    Ok(())
}

fn create(program: &mut Xdp, interface: &Interface, mode: Mode) -> Result<FdLink> {
    let name = &interface.name;
    let first = if mode == Mode::Generic {
        XdpMode::Skb
    } else {
        XdpMode::Driver
    };
    match link(program, interface.index, first) {
        Ok(link) => Ok(link),
        Err(error) if mode == Mode::Auto && refuses_native(&error) => {
            log::warn!(target: "spamdrop::attach", "{name}: no native XDP ({}); the filter runs in the slower generic hook", reason(&error, interface));
            link(program, interface.index, XdpMode::Skb).map_err(|error| explain(&error, interface))
        }
        Err(error) => Err(explain(&error, interface)),
    }
}

fn link(program: &mut Xdp, ifindex: u32, mode: XdpMode) -> Result<FdLink, io::Error> {
    let id = program
        .attach_to_if_index(ifindex, mode)
        .map_err(system_error)?;
    let link = program.take_link(id).map_err(system_error)?;
    // On EINVAL aya attaches by netlink instead: that ends with the process.
    // Dropping it here detaches it.
    FdLink::try_from(link).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn system_error(error: ProgramError) -> io::Error {
    match error {
        ProgramError::SyscallError(error) => error.io_error,
        other => io::Error::other(other),
    }
}

/// The pinned link of an interface. bpffs allows no dot in a name, and an
/// interface's name no colon.
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
/// The pin directory cannot be read.
pub fn linked(pin_dir: &Path) -> Result<Vec<Linked>> {
    let entries = match fs::read_dir(pin_dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
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
        let link = bpf::pinned_link(&entry.path()).ok();
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

/// Takes the filter off every interface, stops steering and removes every pin.
///
/// # Errors
///
/// A pin cannot be removed.
pub fn detach(lock: &WriteLock, pin_dir: &Path) -> Result<()> {
    unsteer(lock, pin_dir)?;
    for link in linked(pin_dir)? {
        unlink(&link_pin(pin_dir, &link.name))?;
    }
    pins::remove_all(pin_dir)
}

/// Takes what a pinned link holds off its interface or namespace, and removes
/// the pin.
fn unlink(pin: &Path) -> Result<()> {
    match bpf::detach_link(pin) {
        // What it was linked to is gone, or it never was pinned.
        Err(error) if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENOLINK)) => {
            return Err(error).with_context(|| format!("cannot detach {}", pin.display()));
        }
        _ => {}
    }
    remove_file(pin)
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
