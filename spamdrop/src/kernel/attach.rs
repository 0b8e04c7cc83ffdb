//! Programs and links: load, attach, replace, detach.

mod hidden;
mod linked;
mod load;
mod namespace;
mod native;
mod refusal;
mod second_try;
mod steering;
mod verifier;

pub use hidden::{HiddenFilter, hidden};
pub use linked::{LinkPlace, Linked, linked, read_links};
pub use load::{Filter, load};
pub use refusal::foreign;
pub use steering::{is_steering, steer, unsteer};

use std::fs;
use std::io::ErrorKind;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use anyhow::{Context as _, Error, Result};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::exit::{Exit, Failure};
use crate::kernel::blocklist::migrate::{self, Upgrade};
use crate::kernel::blocklist::pins::{self, Capacity};
use crate::kernel::bpf;
use crate::kernel::network::{self, Framing, Interface};
use crate::lock::WriteLock;
use linked::link_pin;
use load::load_into;

/// Where in the network stack the filter runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachMode {
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
    pub mode: AttachMode,
    /// The level of `--log-packets`. 0: no packet is logged, and logging costs
    /// nothing.
    pub log_level: u8,
}

/// The filter, and the interfaces that were to have it.
pub struct Attachment {
    /// The loaded filter. Dropping it detaches nothing.
    pub filter: Filter,
    /// The interfaces that have it, in the order of the request.
    pub attached: Vec<Attached>,
    /// The requested interfaces that do not have it, and why.
    pub refused: Vec<Refused>,
}

/// An interface with the filter on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The name by which it was requested: its own, or an alternative one.
    pub name: String,
    /// The interface.
    pub interface: Interface,
    /// Whether the interface already had a pinned link, whose program was
    /// replaced.
    pub replaced: bool,
}

/// An interface that does not have the filter.
#[derive(Debug)]
pub struct Refused {
    /// The name by which it was requested.
    pub name: String,
    /// The reason.
    pub error: Error,
}

/// Attaches the filter to interfaces, or replaces it there without a gap. If an
/// interface is missing or refuses the filter, the others are still attached.
/// Pinned maps and links are reused. After an error, nothing is changed, except
/// that an upgrade which has replaced a program before the error keeps the new
/// maps.
///
/// # Errors
///
/// No BPF file system, a pinned map of another layout, a kernel that refuses
/// the program, or pins that belong to another network namespace.
pub fn attach(
    _lock: &WriteLock,
    pin_dir: &Path,
    names: &[String],
    plan: Plan,
) -> Result<Attachment> {
    if geteuid().is_root() {
        pins::prepare(pin_dir)?;
    }
    let _acting = pins::act_as_daemon(pin_dir)?;
    ensure_own_pins(pin_dir)?;
    let adopted = pins::present(pin_dir)?;
    let upgrade = Upgrade::begin(pin_dir)?;
    pins::make_dirs(pin_dir)?;
    let mut has_changed = false;
    let result = attach_all(pin_dir, names, plan, upgrade.as_ref(), &mut has_changed);
    if result.is_err() && !has_changed {
        pins::remove_except(pin_dir, &adopted)?;
    }
    match (upgrade, &result) {
        (Some(upgrade), Ok(_)) => upgrade.finish()?,
        // An interface may filter by the new maps already, so they stay.
        (Some(upgrade), Err(_)) if has_changed => upgrade.finish()?,
        (Some(upgrade), Err(_)) => upgrade.abandon()?,
        (None, _) => {}
    }
    result
}

fn attach_all(
    pin_dir: &Path,
    names: &[String],
    plan: Plan,
    upgrade: Option<&Upgrade>,
    has_changed: &mut bool,
) -> Result<Attachment> {
    let maps_dir = upgrade.map_or_else(|| pins::maps_dir(pin_dir), Upgrade::staging_dir);
    pins::check(&maps_dir, Some(plan.capacity))?;
    let mut attachment = Attachment {
        filter: load_into(&maps_dir, plan)?,
        attached: Vec::new(),
        refused: Vec::new(),
    };
    if let Some(upgrade) = upgrade {
        upgrade.copy()?;
    }
    namespace::record(pin_dir)?;
    *has_changed = true;
    for name in names {
        let name = name.clone();
        match attach_one(pin_dir, &mut attachment.filter, &name, plan.mode) {
            Ok(attached) => attachment.attached.push(attached),
            Err(error) => attachment.refused.push(Refused { name, error }),
        }
    }
    if upgrade.is_some() {
        let Attachment {
            filter, attached, ..
        } = &mut attachment;
        replace_others(pin_dir, filter, attached)?;
    }
    Ok(attachment)
}

fn attach_one(
    pin_dir: &Path,
    filter: &mut Filter,
    name: &str,
    mode: AttachMode,
) -> Result<Attached> {
    let interface = existing(name)?;
    let program = program(filter, &interface)?;
    let pin = link_pin(pin_dir, name);
    let links = linked(pin_dir)?;
    let own = links.iter().find(|link| link.name == name);
    let replaced = own.is_some_and(|link| link.is_on(interface.index) && !link.is_astray());
    if replaced {
        ensure_mode(&interface, mode)?;
        replace(program, &pin)?;
    } else {
        for link in &links {
            if link.name == name || link.is_on(interface.index) {
                release(pin_dir, link, &format!("{name} is the same interface"))?;
            }
        }
        let link = native::create(program, &interface, mode)?;
        bpf::pin(link.as_fd(), &pin)
            .with_context(|| format!("cannot pin the link {}", pin.display()))?;
    }
    Ok(Attached {
        name: name.to_owned(),
        interface: existing(name)?,
        replaced,
    })
}

fn existing(name: &str) -> Result<Interface> {
    network::find(name)?
        .with_context(|| format!("there is no interface `{name}`; `ip link` lists them"))
}

/// The program that parses the interface's packets.
fn program<'filter>(
    filter: &'filter mut Filter,
    interface: &Interface,
) -> Result<BorrowedFd<'filter>> {
    let program = match &interface.framing {
        Framing::Ethernet => filter.program()?,
        Framing::Ip => &*filter.ip_program()?,
        Framing::Unknown(kind) => {
            let name = &interface.name;
            let message = format!(
                "{name} has the link type {kind}, whose packets the filter cannot parse; name an \
                 Ethernet interface, or one whose packets begin with the IP header"
            );
            return Err(Failure::new(Exit::Failed, message));
        }
    };
    Ok(program.fd()?.as_fd())
}

/// Replaces the program on every interface that does not have the new one,
/// because the old program would use maps that are no longer written. The same
/// holds for the steering program; without a daemon it has no responder, so it
/// is only detached, and `run` attaches it again.
fn replace_others(pin_dir: &Path, filter: &mut Filter, attached: &[Attached]) -> Result<()> {
    for link in linked(pin_dir)? {
        let has_new = attached.iter().any(|attached| attached.name == link.name);
        if let Some(interface) = link.interface().filter(|_| !has_new) {
            replace(program(filter, interface)?, &link_pin(pin_dir, &link.name))?;
        }
    }
    steering::stop(pin_dir)
}

/// Fails if native mode is wanted and the interface's link is generic, because
/// a link keeps the mode in which it was made.
fn ensure_mode(interface: &Interface, mode: AttachMode) -> Result<()> {
    let name = &interface.name;
    let generic = interface.xdp.is_some_and(|xdp| !xdp.native);
    if mode == AttachMode::Native && generic {
        anyhow::bail!(
            "the filter on {name} runs in generic mode; for native mode, run `spamdrop detach \
             {name}` first"
        );
    }
    Ok(())
}

fn replace(program: BorrowedFd<'_>, pin: &Path) -> Result<()> {
    bpf::update_link(pin, program)
        .with_context(|| format!("cannot replace the program behind {}", pin.display()))
}

/// Detaches the links that `is_wanted` does not select, and those whose
/// interface is not the configured one any more. Logs each interface that thereby
/// loses the filter.
///
/// # Errors
///
/// The pins belong to another network namespace, or a link cannot be detached.
pub fn release_others(
    _lock: &WriteLock,
    pin_dir: &Path,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<()> {
    let _acting = pins::act_as_daemon(pin_dir)?;
    let links = linked(pin_dir)?;
    namespace::ensure_ours(pin_dir, &links)?;
    for link in &links {
        if link.is_astray() || !is_wanted(&link.name) {
            let reason = format!("{} is not in the configuration", link.name);
            release(pin_dir, link, &reason)?;
        }
    }
    Ok(())
}

/// Detaches a link. `reason_here`: why, if it is on the interface with its name.
fn release(pin_dir: &Path, link: &Linked, reason_here: &str) -> Result<()> {
    unlink(&link_pin(pin_dir, &link.name))?;
    let name = &link.name;
    let reason = match &link.place {
        LinkPlace::Here(_) => reason_here.to_owned(),
        LinkPlace::Renamed(interface) => format!("the interface is named {} now", interface.name),
        LinkPlace::Elsewhere => "the interface is in another network namespace now".into(),
        LinkPlace::Gone => return Ok(()),
    };
    log::warn!(target: "spamdrop::attach", "detached the filter for {name}: {reason}");
    Ok(())
}

/// Fails if the pins belong to a spamdrop in another network namespace.
pub fn ensure_own_pins(pin_dir: &Path) -> Result<()> {
    let _acting = pins::act_as_daemon(pin_dir)?;
    namespace::ensure_ours(pin_dir, &linked(pin_dir)?)
}

/// Detaches the filter from one interface. Returns whether a link was pinned for
/// this name.
pub fn detach_one(_lock: &WriteLock, pin_dir: &Path, name: &str) -> Result<bool> {
    let _acting = pins::act_as_daemon(pin_dir)?;
    let pin = link_pin(pin_dir, name);
    let is_pinned = linked(pin_dir)?.iter().any(|link| link.name == name);
    if is_pinned {
        unlink(&pin)?;
    }
    Ok(is_pinned)
}

/// Detaches the filter from every interface, stops steering and removes every
/// pin.
pub fn detach(lock: &WriteLock, pin_dir: &Path) -> Result<()> {
    let acting = pins::act_as_daemon(pin_dir)?;
    unsteer(lock, pin_dir)?;
    for link in linked(pin_dir)? {
        unlink(&link_pin(pin_dir, &link.name))?;
    }
    namespace::forget(pin_dir)?;
    migrate::remove_all(pin_dir)?;
    drop(acting);
    pins::remove_empty_dir(pin_dir)
}

/// Detaches a pinned link's program from its interface or namespace, and
/// removes the pin.
fn unlink(pin: &Path) -> Result<()> {
    match bpf::detach_link(pin) {
        // NOENT: no link was pinned. NOLINK: the link's interface or namespace is
        // gone.
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
