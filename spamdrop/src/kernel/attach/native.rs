//! Creates the link on one interface: in the driver, or else in the generic
//! hook.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result};

use super::AttachMode;
use super::refusal::{self, NativeRefusal};
use super::second_try;
use crate::kernel::bpf::{self, GENERIC, NATIVE};
use crate::kernel::network::Interface;

/// Attaches a program to an interface. The link is not pinned yet.
///
/// # Errors
///
/// The interface refuses the mode, or has another program. Nothing is attached
/// then.
pub(super) fn create(
    program: BorrowedFd<'_>,
    interface: &Interface,
    mode: AttachMode,
) -> Result<OwnedFd> {
    let link = |flags| bpf::create_xdp_link(program, interface.index, flags);
    if mode == AttachMode::Generic {
        return link(GENERIC).map_err(|error| refusal::explain(&error, interface));
    }
    let error = match link(NATIVE) {
        Ok(link) => return Ok(link),
        Err(error) if refusal::is_final(&error) => return Err(refusal::explain(&error, interface)),
        Err(error) => error,
    };
    let refusal = native_refusal(program, interface, error)?;
    if mode == AttachMode::Native {
        return Err(refusal.error());
    }
    let link = link(GENERIC).map_err(|error| refusal::explain(&error, interface))?;
    log::warn!(target: "spamdrop::attach", "{}", refusal.falls_back());
    Ok(link)
}

fn native_refusal<'interface>(
    program: BorrowedFd<'_>,
    interface: &'interface Interface,
    error: io::Error,
) -> Result<NativeRefusal<'interface>> {
    let name = &interface.name;
    let words = second_try::explanation(program, interface.index).with_context(|| {
        format!(
            "the filter is attached to {name} without a link and cannot be detached; \
             detach it by `ip link set dev {name} xdpdrv off`"
        )
    })?;
    Ok(NativeRefusal {
        interface,
        error,
        words,
    })
}
