//! The `bpf(2)` calls that aya 0.14 does not offer: batch operations on maps,
//! and links.

mod links;

pub use links::{
    GENERIC, IF_NONE, NATIVE, PinnedLink, REPLACE, create_xdp_link, detach_link, pin, pinned_link,
    pinned_namespace, update_link, xdp_links,
};

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::panic::resume_unwind;
use std::sync::mpsc::sync_channel;
use std::thread::{self, ScopedJoinHandle, available_parallelism};

use aya::Pod;
use rustix::io::Errno;

/// Entries moved by one system call.
pub const BATCH: usize = 4096;
/// Maximum number of threads that write to a map at once.
const THREADS: usize = 4;

/// Reads a hash map or an array with few system calls, which a second thread makes
/// while the caller's one visits what was read. Entries that are added or removed in the
/// meantime may be visited or not; no entry is visited twice.
///
/// # Errors
///
/// The kernel's error, or that of `visit`.
pub fn for_each<K: Pod + Send, V: Pod + Send>(
    map: BorrowedFd<'_>,
    mut visit: impl FnMut(&[K], &[V]) -> io::Result<()>,
) -> io::Result<()> {
    let mut reader = Reader { map, cursor: None };
    let mut batch = Batch::new(BATCH);
    if reader.read(&mut batch)? {
        return batch.visit(&mut visit);
    }
    batch.visit(&mut visit)?;
    thread::scope(|scope| {
        let (give, empty) = sync_channel::<Batch<K, V>>(1);
        let (fill, filled) = sync_channel(1);
        let mut second = reader.clone();
        let read_all = move || {
            for mut batch in empty {
                let result = second.read(&mut batch);
                let goes_on = matches!(result, Ok(false));
                if fill.send((batch, result)).is_err() || !goes_on {
                    return;
                }
            }
        };
        if thread::Builder::new()
            .spawn_scoped(scope, read_all)
            .is_err()
        {
            return reader.visit_rest(batch, &mut visit);
        }
        let mut spare = Some(Batch::new(BATCH));
        loop {
            // The thread ends after the last part and after an error, which it sends.
            let _ = give.send(batch);
            let (next, result) = filled.recv().map_err(io::Error::other)?;
            let is_last = result?;
            if let Some(spare) = spare.take().filter(|_| !is_last) {
                let _ = give.send(spare);
            }
            next.visit(&mut visit)?;
            if is_last {
                return Ok(());
            }
            batch = next;
        }
    })
}

/// Reads a map, part by part.
#[derive(Clone)]
struct Reader<'map> {
    map: BorrowedFd<'map>,
    cursor: Option<u32>,
}

impl Reader<'_> {
    /// Reads the next part. Returns whether it is the last one.
    fn read<K: Pod, V: Pod>(&mut self, batch: &mut Batch<K, V>) -> io::Result<bool> {
        loop {
            let mut next = 0u32;
            let mut attr = batch_attr(self.map, batch.keys.len());
            let at = self.cursor.as_ref();
            attr.in_batch = at.map_or(0, |at| std::ptr::from_ref(at) as u64);
            attr.out_batch = &raw mut next as u64;
            attr.keys = batch.keys.as_mut_ptr() as u64;
            attr.values = batch.values.as_mut_ptr() as u64;
            // SAFETY: keys and values have room for `count` elements of the sizes
            // that the map has (the callers' maps are checked when opened), and
            // the cursors are u32, as hash maps use.
            let result = unsafe { call(Command::MapLookupBatch, &mut attr) };
            let is_last = match result {
                Ok(_) => false,
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => true,
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NOSPC) => {
                    // One bucket holds more entries than the buffer.
                    *batch = Batch::new(batch.keys.len() * 2);
                    continue;
                }
                Err(error) => return Err(error),
            };
            batch.count = (attr.count as usize).min(batch.keys.len());
            self.cursor = Some(next);
            return Ok(is_last);
        }
    }

    fn visit_rest<K: Pod, V: Pod>(
        &mut self,
        mut batch: Batch<K, V>,
        visit: &mut impl FnMut(&[K], &[V]) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            let is_last = self.read(&mut batch)?;
            batch.visit(visit)?;
            if is_last {
                return Ok(());
            }
        }
    }
}

/// A part of a map.
struct Batch<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
    count: usize,
}

impl<K: Pod, V: Pod> Batch<K, V> {
    fn new(room: usize) -> Self {
        Self {
            keys: zeroed(room),
            values: zeroed(room),
            count: 0,
        }
    }

    fn visit(&self, visit: &mut impl FnMut(&[K], &[V]) -> io::Result<()>) -> io::Result<()> {
        visit(&self.keys[..self.count], &self.values[..self.count])
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

/// Deletes entries with few system calls. Returns the indexes of the keys that had no
/// entry.
///
/// # Errors
///
/// The kernel's error; some of the entries may have been deleted.
pub fn delete<K: Pod>(map: BorrowedFd<'_>, keys: &[K]) -> io::Result<Vec<usize>> {
    let (mut missing, mut done) = (Vec::new(), 0);
    while let Some(rest) = keys.get(done..).filter(|rest| !rest.is_empty()) {
        let mut attr = batch_attr(map, rest.len().min(BATCH));
        attr.keys = rest.as_ptr() as u64;
        // SAFETY: the kernel reads `count` keys of the slice.
        let result = unsafe { call(Command::MapDeleteBatch, &mut attr) };
        // The kernel stops at the first key without an entry, and tells its index.
        done += attr.count as usize;
        match result {
            Ok(_) => {}
            Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => {
                missing.push(done);
                done += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(missing)
}

/// The commands of `bpf(2)` that are used here: `enum bpf_cmd` of linux/bpf.h.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Command {
    ObjPin = 6,
    ObjGet = 7,
    MapLookupBatch = 24,
    MapUpdateBatch = 26,
    MapDeleteBatch = 27,
    LinkCreate = 28,
    LinkUpdate = 29,
    LinkGetFdById = 30,
    LinkGetNextId = 31,
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
