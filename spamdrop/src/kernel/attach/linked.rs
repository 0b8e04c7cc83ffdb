//! Pinned links, and where each of them is.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::kernel::bpf;
use crate::kernel::network::{self, Interface, named};

const PREFIX: &str = "link_";
/// Maximum number of readings, if the links seem to change during each of them.
const READS: usize = 3;

/// A pinned link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// The name of its interface in the configuration.
    pub name: String,
    /// Where the link is.
    pub place: LinkPlace,
    /// The id of the link's program, as bpftool shows it.
    pub program_id: Option<u32>,
}

/// Where a pinned link is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkPlace {
    /// On the interface with the configured name.
    Here(Interface),
    /// On an interface that has another name now.
    Renamed(Interface),
    /// On an interface of another network namespace.
    Elsewhere,
    /// On no interface: the interface no longer exists, or the pin is no link.
    Gone,
}

impl Linked {
    /// The interface with the configured name, if the filter is on it.
    #[must_use]
    pub fn interface(&self) -> Option<&Interface> {
        match &self.place {
            LinkPlace::Here(interface) => Some(interface),
            _ => None,
        }
    }

    /// Whether the link is on this interface, by whatever name.
    #[must_use]
    pub fn is_on(&self, index: u32) -> bool {
        match &self.place {
            LinkPlace::Here(interface) | LinkPlace::Renamed(interface) => interface.index == index,
            LinkPlace::Elsewhere | LinkPlace::Gone => false,
        }
    }

    /// Whether the link is on another interface than the configured one.
    #[must_use]
    pub fn is_astray(&self) -> bool {
        matches!(self.place, LinkPlace::Renamed(_) | LinkPlace::Elsewhere)
    }
}

/// The path of an interface's pinned link. A dot is replaced by a colon: bpffs
/// allows no dot in a name, and an interface's name has no colon.
pub(super) fn link_pin(pin_dir: &Path, interface: &str) -> PathBuf {
    pin_dir.join(format!("{PREFIX}{}", interface.replace('.', ":")))
}

/// The pinned links, sorted by name.
///
/// # Errors
///
/// The pin directory or a link cannot be read, or the kernel does not list the
/// interfaces. No partial list is returned.
pub fn linked(pin_dir: &Path) -> Result<Vec<Linked>> {
    read_links(pin_dir).map(|(links, _)| links)
}

/// As [`linked`], and all interfaces that existed then.
///
/// # Errors
///
/// As [`linked`].
pub fn read_links(pin_dir: &Path) -> Result<(Vec<Linked>, Vec<Interface>)> {
    let mut found = read(pin_dir)?;
    for _ in 1..READS {
        // `Elsewhere` may be wrong: another process may have replaced the program of a
        // link after the links were read and before the interfaces were read.
        if found
            .0
            .iter()
            .all(|link| link.place != LinkPlace::Elsewhere)
        {
            break;
        }
        found = read(pin_dir)?;
    }
    Ok(found)
}

fn read(pin_dir: &Path) -> Result<(Vec<Linked>, Vec<Interface>)> {
    let entries = match fs::read_dir(pin_dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        entries => Some(entries.with_context(|| format!("cannot read {}", pin_dir.display()))?),
    };
    let mut links = Vec::new();
    for entry in entries.into_iter().flatten() {
        let entry = entry.with_context(|| format!("cannot read {}", pin_dir.display()))?;
        let file = entry.file_name();
        if let Some(name) = file.to_str().and_then(|name| name.strip_prefix(PREFIX)) {
            links.push((name.replace(':', "."), pinned_link(&entry.path())?));
        }
    }
    let interfaces = network::interfaces()?;
    let mut found: Vec<_> = links
        .into_iter()
        .map(|(name, link)| Linked {
            place: link.map_or(LinkPlace::Gone, |link| place(link, &name, &interfaces)),
            program_id: link.map(|link| link.program_id),
            name,
        })
        .collect();
    found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok((found, interfaces))
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

/// Finds the interface of a link by index and program. An index alone is not
/// enough, because another network namespace can have an interface of the same
/// index. The program's id is unique in the kernel.
fn place(link: bpf::PinnedLink, name: &str, interfaces: &[Interface]) -> LinkPlace {
    if link.ifindex == 0 {
        return LinkPlace::Gone;
    }
    let runs = |interface: &&Interface| {
        let program = interface.xdp.map(|xdp| xdp.program_id);
        interface.index == link.ifindex && program == Some(link.program_id)
    };
    let Some(interface) = interfaces.iter().find(runs) else {
        return LinkPlace::Elsewhere;
    };
    if named(interfaces, name).is_some_and(|meant| meant.index == interface.index) {
        LinkPlace::Here(interface.clone())
    } else {
        LinkPlace::Renamed(interface.clone())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::kernel::network::Xdp;

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

    #[test]
    fn a_link_is_where_its_program_runs_under_the_configured_name() {
        let interface = |index, name: &str, program_id: Option<u32>| Interface {
            index,
            name: name.into(),
            altnames: vec![format!("alt-{name}")],
            xdp: program_id.map(|program_id| Xdp {
                program_id,
                native: true,
            }),
            ..Interface::default()
        };
        let interfaces = [
            interface(2, "eth0", Some(7)),
            interface(3, "eth1", Some(9)),
            interface(4, "eth2", None),
        ];
        let on = |ifindex, name| {
            let link = bpf::PinnedLink {
                id: 1,
                program_id: 7,
                ifindex,
            };
            place(link, name, &interfaces)
        };
        assert_eq!(on(2, "eth0"), LinkPlace::Here(interfaces[0].clone()));
        assert_eq!(on(2, "alt-eth0"), LinkPlace::Here(interfaces[0].clone()));
        assert_eq!(on(2, "eth5"), LinkPlace::Renamed(interfaces[0].clone()));
        // Interface 2 was named eth1 when the link was made; interface 3 is now.
        assert_eq!(on(2, "eth1"), LinkPlace::Renamed(interfaces[0].clone()));
        // The interface of this index has another program or none, or there is none
        // of this index: the link is in another network namespace.
        for index in [3, 4, 5] {
            assert_eq!(on(index, "eth0"), LinkPlace::Elsewhere);
        }
        assert_eq!(on(0, "eth0"), LinkPlace::Gone);
    }
}
