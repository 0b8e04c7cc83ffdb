//! Explains why an interface refuses the filter, and how to solve it.

use std::io;

use rustix::io::Errno;

use crate::exit::{Exit, Failure};
use crate::kernel::network::{self, Interface};

/// Whether the error allows a second attempt in the generic hook.
pub(super) fn refuses_native(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::OPNOTSUPP | Errno::RANGE)
    )
}

/// The reason why the interface does not support native XDP.
pub(super) fn reason(error: &io::Error, interface: &Interface) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::OPNOTSUPP) => "its driver has none".into(),
        Some(Errno::RANGE) => format!("not with its MTU of {}", interface.mtu),
        _ => error.to_string(),
    }
}

/// The error message for a failed attachment.
pub(super) fn explain(error: &io::Error, interface: &Interface) -> anyhow::Error {
    let name = &interface.name;
    let message = match Errno::from_io_error(error) {
        Some(Errno::BUSY | Errno::EXIST) => {
            let id = network::find(name)
                .ok()
                .flatten()
                .and_then(|found| found.xdp);
            let id = id.map_or_else(String::new, |xdp| format!(" (id {})", xdp.program_id));
            format!(
                "{name} already has an XDP program{id} that is not spamdrop's; nothing was changed. `bpftool net` shows it; remove it first, or use another interface"
            )
        }
        Some(Errno::OPNOTSUPP | Errno::RANGE) => {
            let why = reason(error, interface);
            format!("{name} refuses native XDP ({why}); use `mode = \"auto\"` or `--mode generic`")
        }
        Some(Errno::PERM) => {
            return Failure::new(
                Exit::NoPermission,
                format!("attaching to {name} is not permitted; run as root"),
            );
        }
        _ => format!("cannot attach to {name}: {error}"),
    };
    Failure::new(Exit::Failed, message)
}
