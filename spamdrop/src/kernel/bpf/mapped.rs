//! Arrays that are read through memory, without system calls.

use std::io;
use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::ptr::{self, NonNull};

use aya::Pod;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The elements of an array map with `BPF_F_MMAPABLE`. The filter changes them at
/// any time.
pub struct MappedArray<V> {
    start: NonNull<V>,
    elements: u32,
    owned: PhantomData<V>,
}

impl<V: Pod> MappedArray<V> {
    /// Maps an array with this many elements of type `V`.
    ///
    /// # Errors
    ///
    /// The kernel's: there is no memory, or the map is no such array.
    pub fn new(map: impl AsFd, elements: u32) -> io::Result<Self> {
        const {
            // The kernel aligns each element to eight bytes.
            assert!(size_of::<V>().is_multiple_of(8));
        }
        let (length, flags) = (Self::bytes(elements), MapFlags::SHARED);
        // SAFETY: the kernel chooses the address, so no other memory is replaced. It
        // refuses more bytes than the array has.
        let start = unsafe { mmap(ptr::null_mut(), length, ProtFlags::READ, flags, map, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self {
            start,
            elements,
            owned: PhantomData,
        })
    }

    /// A copy of an element; the filter may change it meanwhile. `None` past the
    /// end.
    pub fn get(&self, index: u32) -> Option<V> {
        (index < self.elements).then(|| {
            // SAFETY: the element is within the mapping, which lasts as long as
            // `self`, and every bit pattern is valid. The read is volatile because
            // the filter writes at any time.
            unsafe { self.start.add(index as usize).read_volatile() }
        })
    }

    /// The number of elements.
    pub fn elements(&self) -> u32 {
        self.elements
    }
}

impl<V> MappedArray<V> {
    fn bytes(elements: u32) -> usize {
        size_of::<V>() * elements as usize
    }
}

impl<V> Drop for MappedArray<V> {
    fn drop(&mut self) {
        let length = Self::bytes(self.elements);
        // SAFETY: this is the whole mapping that `new` has made, and no reference to
        // it exists.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), length) };
        if let Err(error) = unmapped {
            log::warn!("cannot unmap an array: {error}");
        }
    }
}
