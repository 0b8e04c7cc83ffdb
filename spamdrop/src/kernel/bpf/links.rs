//! BPF links: created, pinned, described, updated and detached.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::io::Errno;

use super::{BpfCommand, call};

// The flags of an XDP attachment: `XDP_FLAGS_*` of linux/if_link.h.
/// Attach only if no program is attached (`XDP_FLAGS_UPDATE_IF_NOEXIST`).
pub const IF_NONE: u32 = 1;
/// Attach in the generic hook (`XDP_FLAGS_SKB_MODE`).
pub const GENERIC: u32 = 2;
/// Attach in the driver (`XDP_FLAGS_DRV_MODE`).
pub const NATIVE: u32 = 4;
/// Attach or detach only if the expected program is attached (`XDP_FLAGS_REPLACE`).
pub const REPLACE: u32 = 16;

/// `BPF_XDP` of `enum bpf_attach_type`.
const ATTACH_XDP: u32 = 37;

#[repr(C)]
struct ObjectAttr {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
}

#[repr(C)]
struct LinkCreateAttr {
    prog_fd: u32,
    target_ifindex: u32,
    attach_type: u32,
    flags: u32,
}

#[repr(C)]
struct LinkIdAttr {
    /// The link's id; for [`BpfCommand::LinkGetNextId`], the id before the wanted one.
    link_id: u32,
    next_id: u32,
    open_flags: u32,
}

#[repr(C)]
struct LinkDetachAttr {
    link_fd: u32,
}

#[repr(C)]
struct LinkUpdateAttr {
    link_fd: u32,
    new_prog_fd: u32,
    flags: u32,
    old_prog_fd: u32,
}

/// Attaches a program to an interface. `flags` is
/// [`GENERIC`] or [`NATIVE`]. Unlike aya, which attaches by netlink after EINVAL, this
/// leaves nothing behind when the kernel refuses. The program stays attached
/// while the link is open or pinned.
///
/// # Errors
///
/// The kernel's or the driver's refusal.
pub fn create_xdp_link(program: BorrowedFd<'_>, ifindex: u32, flags: u32) -> io::Result<OwnedFd> {
    let mut attr = LinkCreateAttr {
        prog_fd: program.as_raw_fd().unsigned_abs(),
        target_ifindex: ifindex,
        attach_type: ATTACH_XDP,
        flags,
    };
    // SAFETY: the command takes no pointers.
    let fd = unsafe { call(BpfCommand::LinkCreate, &mut attr) }?;
    owned(fd)
}

/// Pins an object at `path`.
///
/// # Errors
///
/// The path is not on a BPF file system, or something is pinned there.
pub fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = ObjectAttr {
        pathname: path.as_ptr() as u64,
        bpf_fd: object.as_raw_fd().unsigned_abs(),
        file_flags: 0,
    };
    // SAFETY: the path is a C string that outlives the call.
    unsafe { call(BpfCommand::ObjPin, &mut attr) }.map(drop)
}

/// The descriptor that a command has returned.
fn owned(fd: i64) -> io::Result<OwnedFd> {
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel has just returned this descriptor, and nothing else
    // owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens a pinned object.
fn object_get(path: &Path) -> io::Result<OwnedFd> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut attr = ObjectAttr {
        pathname: path.as_ptr() as u64,
        bpf_fd: 0,
        file_flags: 0,
    };
    // SAFETY: the path is a C string that outlives the call.
    let fd = unsafe { call(BpfCommand::ObjGet, &mut attr) }?;
    owned(fd)
}

/// Detaches the link that is pinned at `path` from its interface. Removing the
/// pin would do that as well, but only some time after the call returns.
///
/// # Errors
///
/// The pin cannot be opened, or is not a link.
pub fn detach_link(path: &Path) -> io::Result<()> {
    let link = object_get(path)?;
    let mut attr = LinkDetachAttr {
        link_fd: link.as_raw_fd().unsigned_abs(),
    };
    // SAFETY: the command takes no pointers.
    unsafe { call(BpfCommand::LinkDetach, &mut attr) }.map(drop)
}

/// Replaces the program of the link that is pinned at `path`, without a gap.
/// aya supports this only for XDP.
///
/// # Errors
///
/// The pin cannot be opened, or the kernel refuses the program.
pub fn update_link(path: &Path, program: BorrowedFd<'_>) -> io::Result<()> {
    let link = object_get(path)?;
    let mut attr = LinkUpdateAttr {
        link_fd: link.as_raw_fd().unsigned_abs(),
        new_prog_fd: program.as_raw_fd().unsigned_abs(),
        flags: 0,
        old_prog_fd: 0,
    };
    // SAFETY: the command takes no pointers.
    unsafe { call(BpfCommand::LinkUpdate, &mut attr) }.map(drop)
}

/// A pinned XDP link, as the kernel describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinnedLink {
    /// Its id, as bpftool shows it.
    pub id: u32,
    /// The id of the link's program.
    pub program_id: u32,
    /// The index of its interface; 0 if that no longer exists.
    pub ifindex: u32,
}

/// Describes the link that is pinned at `path`.
///
/// # Errors
///
/// The pin cannot be opened, or is not an XDP link.
pub fn pinned_link(path: &Path) -> io::Result<PinnedLink> {
    described(path, "an XDP link", xdp_link)
}

/// Every XDP link of the kernel, in whatever network namespace.
///
/// # Errors
///
/// Without CAP_SYS_ADMIN, links cannot be listed.
pub fn xdp_links() -> io::Result<Vec<PinnedLink>> {
    let mut found = Vec::new();
    let mut attr = LinkIdAttr {
        link_id: 0,
        next_id: 0,
        open_flags: 0,
    };
    loop {
        attr.next_id = 0;
        // SAFETY: the command takes no pointers.
        match unsafe { call(BpfCommand::LinkGetNextId, &mut attr) } {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => return Ok(found),
            result => result?,
        };
        attr.link_id = std::mem::take(&mut attr.next_id);
        // SAFETY: the command takes no pointers.
        let fd = unsafe { call(BpfCommand::LinkGetFdById, &mut attr) };
        // The link may have ended in the meantime.
        if let Ok(fd) = fd {
            found.extend(xdp_link(&fdinfo(owned(fd)?.as_fd())?));
        }
    }
}

/// The inode of the network namespace of the link that is pinned at `path`; 0
/// if the namespace no longer exists.
///
/// # Errors
///
/// The pin cannot be opened, or is not a link to a namespace.
pub fn pinned_namespace(path: &Path) -> io::Result<u64> {
    described(path, "a link to a network namespace", namespace)
}

fn described<T>(path: &Path, what: &str, read: fn(&str) -> Option<T>) -> io::Result<T> {
    let link = object_get(path)?;
    read(&fdinfo(link.as_fd())?).ok_or_else(|| {
        let message = format!("{} is not {what}", path.display());
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

fn fdinfo(object: BorrowedFd<'_>) -> io::Result<String> {
    std::fs::read_to_string(format!("/proc/self/fdinfo/{}", object.as_raw_fd()))
}

fn xdp_link(fdinfo: &str) -> Option<PinnedLink> {
    if field(fdinfo, "link_type")? != "xdp" {
        return None;
    }
    Some(PinnedLink {
        id: field(fdinfo, "link_id")?.parse().ok()?,
        program_id: field(fdinfo, "prog_id")?.parse().ok()?,
        ifindex: field(fdinfo, "ifindex")?.parse().ok()?,
    })
}

fn namespace(fdinfo: &str) -> Option<u64> {
    if field(fdinfo, "link_type")? != "netns" {
        return None;
    }
    field(fdinfo, "netns_ino")?.parse().ok()
}

fn field<'text>(fdinfo: &'text str, name: &str) -> Option<&'text str> {
    let line = fdinfo.lines().find_map(|line| line.strip_prefix(name))?;
    Some(line.strip_prefix(':')?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fdinfo_of_an_xdp_link() {
        let text = "pos:\t0\nflags:\t02\nlink_type:\txdp\nlink_id:\t3\n\
                    prog_tag:\t5a8e\nprog_id:\t42\nifindex:\t7\n";
        let link = PinnedLink {
            id: 3,
            program_id: 42,
            ifindex: 7,
        };
        assert_eq!(xdp_link(text), Some(link));
        assert_eq!(xdp_link(&text.replace("xdp", "iter")), None);
        assert_eq!(xdp_link("link_type:\txdp\n"), None);
    }

    #[test]
    fn fdinfo_of_a_link_to_a_namespace() {
        let text = "link_type:\tnetns\nlink_id:\t3\nprog_id:\t42\n\
                    netns_ino:\t4026531840\nattach_type:\t36\n";
        assert_eq!(namespace(text), Some(4_026_531_840));
        assert_eq!(namespace(&text.replace("netns\n", "xdp\n")), None);
    }
}
