//! An array map in this process's memory, so that an element is read without a system call.

use std::io;
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};

use aya::Pod;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A read-only view of an array map that was created with `BPF_F_MMAPABLE`.
pub struct MappedArray<V> {
    start: NonNull<V>,
    len: usize,
    values: PhantomData<V>,
}

impl<V: Pod> MappedArray<V> {
    /// Maps an array of `len` values.
    ///
    /// # Errors
    ///
    /// The kernel's error. [`io::ErrorKind::InvalidInput`]: the kernel would not place the
    /// values one after the other, because their size is no multiple of 8.
    pub fn new(map: BorrowedFd<'_>, len: u32) -> io::Result<Self> {
        if !size_of::<V>().is_multiple_of(8) || size_of::<V>() == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let len = len as usize;
        // SAFETY: the kernel chooses the address, so no other memory is replaced.
        let start = unsafe {
            mmap(
                ptr::null_mut(),
                len * size_of::<V>(),
                ProtFlags::READ,
                MapFlags::SHARED,
                map,
                0,
            )
        }?;
        Ok(Self {
            start: NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidData)?,
            len,
            values: PhantomData,
        })
    }

    /// The value at an index, if the array has it. The filter may write it at the same time,
    /// so that the result may be a mixture of the old and the new value.
    #[must_use]
    pub fn get(&self, index: u32) -> Option<V> {
        let index = index as usize;
        // SAFETY: the value lies within the mapping. It is aligned, because the mapping
        // begins with a page, and every bit pattern is a valid value.
        (index < self.len).then(|| unsafe { self.start.add(index).read_volatile() })
    }
}

impl<V> Drop for MappedArray<V> {
    fn drop(&mut self) {
        // SAFETY: the mapping is of this size, and nothing refers to it. After an error, it
        // would stay until the end of the process.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len * size_of::<V>()) };
    }
}
