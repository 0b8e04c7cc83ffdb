//! The `bpf(2)` calls that aya 0.14 does not offer: batch operations on maps,
//! and links.

mod links;

pub use links::{
    GENERIC, IF_NONE, NATIVE, PinnedLink, REPLACE, create_xdp_link, detach_link, pin, pinned_link,
    pinned_namespace, update_link, xdp_links,
};

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::{self, ScopedJoinHandle, available_parallelism};

use aya::Pod;
use rustix::io::Errno;

/// Entries moved by one system call.
pub const BATCH: usize = 4096;
/// Maximum number of threads that write to a map at once.
const THREADS: usize = 4;

/// Reads a hash map or an array with few system calls. A second thread makes them while the
/// caller's thread visits the entries that were read. Entries that are added or removed in
/// the meantime may be visited or not; no entry is visited twice.
///
/// # Errors
///
/// The kernel's error, or that of `visit`.
pub fn for_each<K: Pod + Send, V: Pod + Send>(
    map: BorrowedFd<'_>,
    visit: impl FnMut(&[K], &[V]) -> io::Result<()>,
) -> io::Result<()> {
    MapReadAhead::begin(map, 1)?.visit(visit)
}

/// A map that is being read ahead by a thread, which ends when this is dropped.
pub struct MapReadAhead<K, V> {
    /// The first part, and whether it is the last one.
    first: (Batch<K, V>, bool),
    rest: Rest<K, V>,
}

enum Rest<K, V> {
    Ahead {
        parts: Receiver<io::Result<(Batch<K, V>, bool)>>,
        /// Takes batches that were visited, to be filled again.
        empty: Sender<Batch<K, V>>,
    },
    /// There is no thread: [`MapReadAhead::visit`] reads the other parts.
    Later(MapReader),
}

impl<K: Pod + Send, V: Pod + Send> MapReadAhead<K, V> {
    /// Begins to read. A thread reads at most `ahead` parts that are not visited yet. A map
    /// that fits into one part is read at once.
    ///
    /// # Errors
    ///
    /// The kernel's error.
    pub fn begin(map: BorrowedFd<'_>, ahead: usize) -> io::Result<Self> {
        let mut reader = MapReader {
            map: map.try_clone_to_owned()?.into(),
            cursor: None,
        };
        let first = reader.read(Batch::new(BATCH))?;
        let rest = if first.1 {
            Rest::Later(reader)
        } else {
            reader.read_ahead(ahead)
        };
        Ok(Self { first, rest })
    }

    /// Visits each entry once.
    ///
    /// # Errors
    ///
    /// The kernel's error, or that of `visit`.
    pub fn visit(self, mut visit: impl FnMut(&[K], &[V]) -> io::Result<()>) -> io::Result<()> {
        let (mut part, mut rest) = (self.first, self.rest);
        loop {
            let (batch, is_last) = part;
            visit(batch.keys(), batch.values())?;
            if is_last {
                return Ok(());
            }
            part = match &mut rest {
                Rest::Ahead { parts, empty } => {
                    // An error means that the thread has read the last part and ended.
                    let _ = empty.send(batch);
                    parts.recv().map_err(io::Error::other)??
                }
                Rest::Later(reader) => reader.read(batch)?,
            };
        }
    }
}

/// Reads a map, part by part.
#[derive(Clone)]
struct MapReader {
    map: Arc<OwnedFd>,
    cursor: Option<u32>,
}

impl MapReader {
    /// Reads the rest in a thread. Returns [`Rest::Later`] if none can be started.
    fn read_ahead<K: Pod + Send, V: Pod + Send>(self, parts: usize) -> Rest<K, V> {
        let (give, parts) = sync_channel(parts);
        let (empty, visited) = channel::<Batch<K, V>>();
        let mut ahead = self.clone();
        let read_all = move || {
            loop {
                let batch = visited.try_recv().unwrap_or_else(|_| Batch::new(BATCH));
                let part = ahead.read(batch);
                let goes_on = matches!(part, Ok((_, false)));
                if give.send(part).is_err() || !goes_on {
                    return;
                }
            }
        };
        match thread::Builder::new().spawn(read_all) {
            Ok(_) => Rest::Ahead { parts, empty },
            Err(_) => Rest::Later(self),
        }
    }

    /// Reads the next part into a batch. Returns the batch, and whether it is the map's last part.
    fn read<K: Pod, V: Pod>(&mut self, mut batch: Batch<K, V>) -> io::Result<(Batch<K, V>, bool)> {
        loop {
            let mut next = 0u32;
            let mut attr = batch_attr(self.map.as_fd(), batch.keys.len());
            let at = self.cursor.as_ref();
            attr.in_batch = at.map_or(0, |at| std::ptr::from_ref(at) as u64);
            attr.out_batch = &raw mut next as u64;
            attr.keys = batch.keys.as_mut_ptr() as u64;
            attr.values = batch.values.as_mut_ptr() as u64;
            // SAFETY: keys and values have room for `count` elements of the sizes
            // that the map has (the callers' maps are checked when opened), and
            // the cursors are u32, as hash maps use.
            let result = unsafe { call(BpfCommand::MapLookupBatch, &mut attr) };
            let is_last = match result {
                Ok(_) => false,
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NOENT) => true,
                Err(error) if Errno::from_io_error(&error) == Some(Errno::NOSPC) => {
                    // One bucket holds more entries than the buffer.
                    batch = Batch::new(batch.keys.len() * 2);
                    continue;
                }
                Err(error) => return Err(error),
            };
            batch.count = (attr.count as usize).min(batch.keys.len());
            self.cursor = Some(next);
            return Ok((batch, is_last));
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

    fn keys(&self) -> &[K] {
        &self.keys[..self.count]
    }

    fn values(&self) -> &[V] {
        &self.values[..self.count]
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
        unsafe { call(BpfCommand::MapUpdateBatch, &mut attr) }?;
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
        let result = unsafe { call(BpfCommand::MapDeleteBatch, &mut attr) };
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
enum BpfCommand {
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
unsafe fn call<A>(command: BpfCommand, attr: &mut A) -> io::Result<i64> {
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
