//! A spamdrop filter whose pins are hidden, or gone: a second BPF file system
//! was mounted over the first, or the pins were removed by hand.

use std::fmt;

use aya::programs::loaded_programs;
use spamdrop_common::names;

use crate::kernel::bpf;
use crate::kernel::network::Interface;

/// A program with the name of the filter, and its link. The name proves
/// nothing, so the program is reported, and never adopted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HiddenFilter {
    /// The id of the program.
    pub program_id: u32,
    /// The id of the link that keeps it on the interface; `None` if there is
    /// none.
    pub link_id: Option<u32>,
}

impl HiddenFilter {
    /// The command that removes it from the interface.
    #[must_use]
    pub fn remedy(&self, interface: &str) -> String {
        match self.link_id {
            Some(id) => format!("bpftool link detach id {id}"),
            None => format!("ip link set dev {interface} xdp off"),
        }
    }
}

impl fmt::Display for HiddenFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { program_id, .. } = self;
        write!(
            f,
            "a spamdrop filter (program id {program_id}) whose pins are hidden or gone"
        )
    }
}

/// The program on an interface, if it has the filter's name. The caller has
/// checked that no pin belongs to it. Also `None` if the kernel does not list
/// programs to this process, because CAP_SYS_ADMIN is missing.
#[must_use]
pub fn hidden(interface: &Interface) -> Option<HiddenFilter> {
    let program_id = interface.xdp?.program_id;
    let program = loaded_programs()
        .map_while(Result::ok)
        .find(|program| program.id() == program_id)?;
    let is_filter = [
        names::PROGRAM_FRAGS,
        names::PROGRAM_PLAIN,
        names::PROGRAM_IP_FRAGS,
        names::PROGRAM_IP_PLAIN,
    ]
    .contains(&program.name_as_str()?);
    let links = bpf::xdp_links().unwrap_or_default();
    let link = links
        .iter()
        .find(|link| link.program_id == program_id && link.ifindex == interface.index);
    is_filter.then(|| HiddenFilter {
        program_id,
        link_id: link.map(|link| link.id),
    })
}
