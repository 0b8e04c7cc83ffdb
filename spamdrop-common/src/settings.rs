//! What the controller tells the filter.

/// Most ports that can be watched.
pub const MAX_PORTS: usize = 8;

/// The filter's settings, the one value of the `settings` map. All zero, as
/// the kernel creates it, means that no port is watched and all packets pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// Watched TCP destination ports in host byte order; 0: unused slot.
    pub ports: [u16; MAX_PORTS],
    /// A [`Refresh`] as a number.
    pub refresh: u32,
    /// IPv4 prefixes in the trie, which is not consulted while this is 0.
    pub cidrs4: u32,
    /// IPv6 prefixes in the trie, likewise.
    pub cidrs6: u32,
    /// Counts the times that the list let somebody go; what the filter decided
    /// before says nothing then. The lowest 16 bits matter.
    pub generation: u32,
    /// Nanoseconds of a tick (jiffy); 0: nothing that the filter decides is
    /// remembered.
    pub tick_ns: u32,
}

impl Settings {
    /// Whether the filter watches this destination port (host byte order).
    #[inline(always)]
    #[must_use]
    pub fn watches(&self, port: u16) -> bool {
        let mut i = 0;
        while i < MAX_PORTS {
            // Slots fill from the front; port 0 is never sent to.
            if self.ports[i] == 0 {
                return false;
            }
            if self.ports[i] == port {
                return true;
            }
            i += 1;
        }
        false
    }
}

/// Which hits slide an entry's expiry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Refresh {
    /// Every packet, as xt_recent `--update`.
    #[default]
    Packet = 0,
    /// Only new connections (SYN without ACK).
    Syn = 1,
    /// None, as xt_recent `--rcheck`.
    Never = 2,
}

impl Refresh {
    /// Reads [`Settings::refresh`]; an unknown number counts as `Packet`.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Syn,
            2 => Self::Never,
            _ => Self::Packet,
        }
    }
}

const _: () = assert!(size_of::<Settings>() == 36);

#[cfg(feature = "user")]
// SAFETY: repr(C) without padding (size asserted above), integers only.
unsafe impl aya::Pod for Settings {}
