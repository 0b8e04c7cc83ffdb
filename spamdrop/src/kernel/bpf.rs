//! The `bpf(2)` calls that aya 0.14 does not offer: batch operations on maps,
//! and the kernel's description of a pinned link.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::panic::resume_unwind;
use std::path::Path;
use std::thread::{self, ScopedJoinHandle, available_parallelism};

use aya::Pod;
use rustix::io::Errno;

/// Entries moved by one system call.
pub const BATCH: usize = 4096;
/// Maximum number of threads that write to a map at once.
const THREADS: usize = 4;

/// Reads a hash map or an array with few system calls. Entries that are added
/// or removed in the meantime may be visited or not; no entry is visited twice.
///
/// # Errors
///
/// The kernel's error, or that of `visit`.
pub fn for_each<K: Pod, V: Pod>(
    map: BorrowedFd<'_>,
    mut visit: impl FnMut(&[K], &[V]) -> io::Result<()>,
) -> io::Result<()> {
    let mut room = BATCH;
    let mut keys = zeroed::<K>(room);
    let mut values = zeroed::<V>(room);
    let mut cursor: Option<u32> = None;
    loop {
        let mut next = 0u32;
        let mut attr = batch_attr(map, room);
        attr.in_batch = cursor
            .as_ref()
            .map_or(0, |at| std::ptr::from_ref(at) as u64);
        attr.out_batch = &raw mut next as u64;
        attr.keys = keys.as_mut_ptr() as u64;
        attr.values = values.as_mut_ptr() as u64;
        // SAFETY: keys and values have room for `count` elements of the sizes
        // that the map has (the callers' maps are checked when opened), and
        // the cursors are u32, as hash maps use.
        let result = unsafe { call(Command::MapLookupBatch, &mut attr) };
        let done = match result {
            Ok(_) => false,
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => true,
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOSPC) => {
                // One bucket holds more entries than the buffer.
                room *= 2;
                keys = zeroed(room);
                values = zeroed(room);
                continue;
            }
            Err(error) => return Err(error),
        };
        let count = attr.count as usize;
        visit(&keys[..count.min(room)], &values[..count.min(room)])?;
        if done {
            return Ok(());
        }
        cursor = Some(next);
    }
}

/// Inserts or replaces entries with few system calls. Many entries are divided
/// among several threads: each entry costs several cache misses, and threads
/// wait for theirs in parallel. If a key appears twice, either value may
/// remain.
///
/// # Errors
///
/// The kernel's error; some of the entries may have been written.
pub fn update<K: Pod + Sync, V: Pod + Sync>(
    map: BorrowedFd<'_>,
    keys: &[K],
    values: &[V],
) -> io::Result<()> {
    if keys.len() <= BATCH {
        return update_part(map, keys, values);
    }
    let threads = available_parallelism().map_or(1, usize::from).min(THREADS);
    let part = keys.len().div_ceil(threads).max(BATCH);
    thread::scope(|scope| {
        let parts = keys.chunks(part).zip(values.chunks(part));
        let threads =
            parts.map(|(keys, values)| scope.spawn(move || update_part(map, keys, values)));
        let threads: Vec<_> = threads.collect();
        let results = threads.into_iter().map(ScopedJoinHandle::join);
        results
            .into_iter()
            .try_for_each(|result| result.unwrap_or_else(|panic| resume_unwind(panic)))
    })
}

fn update_part<K: Pod, V: Pod>(map: BorrowedFd<'_>, keys: &[K], values: &[V]) -> io::Result<()> {
    for (keys, values) in keys.chunks(BATCH).zip(values.chunks(BATCH)) {
        let mut attr = batch_attr(map, keys.len().min(values.len()));
        attr.keys = keys.as_ptr() as u64;
        attr.values = values.as_ptr() as u64;
        // SAFETY: the kernel reads `count` elements of each slice.
        unsafe { call(Command::MapUpdateBatch, &mut attr) }?;
    }
    Ok(())
}

/// The commands of `bpf(2)` that are used here: `enum bpf_cmd` of linux/bpf.h.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Command {
    ObjGet = 7,
    MapLookupBatch = 24,
    MapUpdateBatch = 26,
    LinkUpdate = 29,
    LinkDetach = 34,
}

// The arguments of the commands: the members of `union bpf_attr`. The kernel
// takes the bytes beyond an argument's size as zero.

#[repr(C)]
struct BatchAttr {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

#[repr(C)]
struct ObjectAttr {
    pathname: u64,
    bpf_fd: u32,
    file_flags: u32,
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

fn batch_attr(map: BorrowedFd<'_>, count: usize) -> BatchAttr {
    BatchAttr {
        in_batch: 0,
        out_batch: 0,
        keys: 0,
        values: 0,
        count: u32::try_from(count).unwrap_or(u32::MAX),
        map_fd: map.as_raw_fd().unsigned_abs(),
        elem_flags: 0,
        flags: 0,
    }
}

fn zeroed<T: Pod>(len: usize) -> Vec<T> {
    // SAFETY: `Pod` types are valid for every bit pattern, zero among them.
    vec![unsafe { std::mem::zeroed() }; len]
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
    let fd = unsafe { call(Command::ObjGet, &mut attr) }?;
    // SAFETY: the kernel has just returned this descriptor, and nothing else
    // owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(i32::try_from(fd).map_err(io::Error::other)?) })
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
    unsafe { call(Command::LinkDetach, &mut attr) }.map(drop)
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
    unsafe { call(Command::LinkUpdate, &mut attr) }.map(drop)
}

/// Calls `bpf(2)`.
///
/// # Safety
///
/// `attr` must be the argument of `command`, and its pointers must be valid for
/// the accesses that the command makes.
unsafe fn call<A>(command: Command, attr: &mut A) -> io::Result<i64> {
    // SAFETY: by this function's contract.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            libc::c_long::from(command as u32),
            std::ptr::from_mut(attr),
            size_of::<A>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// A pinned XDP link, as the kernel describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinnedLink {
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
    let fd = link.as_fd().as_raw_fd();
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}"))?;
    read(&text).ok_or_else(|| {
        let message = format!("{} is not {what}", path.display());
        io::Error::new(io::ErrorKind::InvalidData, message)
    })
}

fn xdp_link(fdinfo: &str) -> Option<PinnedLink> {
    if field(fdinfo, "link_type")? != "xdp" {
        return None;
    }
    Some(PinnedLink {
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
