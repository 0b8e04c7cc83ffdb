//! The network namespace that the pins belong to. Containers may share one BPF
//! file system, but a link in another namespace must not be taken for ours.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::linked::{LinkPlace, Linked, link_pin};
use super::remove_file;
use crate::exit::{Exit, Failure};

/// A symbolic link to the namespace's name, such as `net:[4026531840]`. No two
/// namespaces that exist have the same name.
const RECORD: &str = "netns";
/// The thread's own namespace, which is also that of its sockets.
const OWN: &str = "/proc/thread-self/ns/net";

/// Fails if a link is on an interface of another network namespace and the pins were
/// not made in this one. If the pins were made in this namespace, only the interface has
/// moved to the other.
pub(super) fn ensure_ours(pin_dir: &Path, links: &[Linked]) -> Result<()> {
    let mut links = links.iter();
    let Some(link) = links.find(|link| link.place == LinkPlace::Elsewhere) else {
        return Ok(());
    };
    if recorded(pin_dir)?.is_some_and(|recorded| own().is_ok_and(|own| own == recorded)) {
        return Ok(());
    }
    let message = format!(
        "{} belongs to a spamdrop in another network namespace: its filter for {} is on an \
         interface there. Give each spamdrop its own `pin_dir`; if that filter is no longer \
         wanted, run `bpftool link detach pinned {}`",
        pin_dir.display(),
        link.name,
        link_pin(pin_dir, &link.name).display()
    );
    Err(Failure::new(Exit::Failed, message))
}

/// Records that the pins belong to this namespace.
pub(super) fn record(pin_dir: &Path) -> Result<()> {
    let own = own()?;
    if recorded(pin_dir)?.as_ref() == Some(&own) {
        return Ok(());
    }
    forget(pin_dir)?;
    let path = pin_dir.join(RECORD);
    symlink(own, &path).with_context(|| format!("cannot make {}", path.display()))
}

/// Removes the record.
pub(super) fn forget(pin_dir: &Path) -> Result<()> {
    remove_file(&pin_dir.join(RECORD))
}

fn recorded(pin_dir: &Path) -> Result<Option<PathBuf>> {
    let path = pin_dir.join(RECORD);
    match fs::read_link(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        read => read
            .map(Some)
            .with_context(|| format!("cannot read {}", path.display())),
    }
}

fn own() -> Result<PathBuf> {
    fs::read_link(OWN).with_context(|| format!("cannot read {OWN}"))
}
