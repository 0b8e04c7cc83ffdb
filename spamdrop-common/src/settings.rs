//! The settings that user space passes to the filter.

use crate::nat64::{MAX_PREFIXES, Prefix, WELL_KNOWN};
use crate::time::MonotonicNs;

/// The port of the gate and the responder. Other ports are for mail submission
/// by the server's own users.
pub const SMTP_PORT: u16 = 25;
/// Maximum number of watched ports.
pub const MAX_PORTS: usize = 8;

/// The filter's settings: the only value of the `settings` map. The kernel
/// creates it as all zeros: no port is watched and all packets pass.
///
/// The fields that the filter reads for every packet come first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// Watched TCP destination ports in host byte order; 0: unused slot.
    pub ports: [u16; MAX_PORTS],
    /// A [`Refresh`] as a number.
    pub refresh: u32,
    /// Number of prefixes in the map `cidr4`. The filter skips the map while
    /// this is 0.
    pub cidrs4: u32,
    /// As `cidrs4`, for the map `cidr6`.
    pub cidrs6: u32,
    /// As `cidrs4`, for the map `blocked6_addr`. Until the daemon next sweeps the maps,
    /// entries that the kernel has evicted may still be counted.
    pub addresses6: u32,
    /// Raised to the current unit of ticks ([`unit_bits`]) by each change that may make a
    /// cached drop wrong. This invalidates what the filter cached in this unit or before.
    pub epoch: u32,
    /// Nanoseconds per unit of ticks; 0: the filter caches no drops.
    ///
    /// [`unit_bits`]: crate::recent_drop::unit_bits
    pub unit_ns: u32,
    /// Entries and prefixes drop nothing before this time. Hits still count and
    /// slide the expiry.
    pub drop_paused_until: MonotonicNs,
    /// 1: blocks and the gate apply only to packets to the prefixes in
    /// `destinations4` and `destinations6`; 0: to every destination.
    pub destinations: u32,
    /// Number of prefixes in `nat64`.
    pub nat64_count: u32,
    /// Prefixes of NAT64 translators, beside [`WELL_KNOWN`].
    pub nat64: [Prefix; MAX_PREFIXES],
    /// The daemon ends no connection before this time. The filter does not read it.
    pub release_paused_until: MonotonicNs,
    /// Before this time, the gate refuses nothing and only counts, as in observe mode.
    pub gate_paused_until: MonotonicNs,
    /// No connection is given to the responder before this time.
    pub responder_paused_until: MonotonicNs,
}

impl Settings {
    /// Whether the filter watches this destination port (host byte order).
    #[inline(always)]
    #[must_use]
    pub const fn watches(&self, port: u16) -> bool {
        let mut i = 0;
        while i < MAX_PORTS {
            // The used slots come first, and no packet is sent to port 0.
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

    /// Whether entries and prefixes drop nothing at `now`.
    #[inline(always)]
    #[must_use]
    pub const fn is_drop_paused(&self, now: MonotonicNs) -> bool {
        now.ns() < self.drop_paused_until.ns()
    }

    /// Whether no connection is ended at `now`.
    #[inline(always)]
    #[must_use]
    pub const fn is_release_paused(&self, now: MonotonicNs) -> bool {
        now.ns() < self.release_paused_until.ns()
    }

    /// Whether the gate refuses nothing at `now`.
    #[inline(always)]
    #[must_use]
    pub const fn is_gate_paused(&self, now: MonotonicNs) -> bool {
        now.ns() < self.gate_paused_until.ns()
    }

    /// Whether no connection is given to the responder at `now`.
    #[inline(always)]
    #[must_use]
    pub const fn is_responder_paused(&self, now: MonotonicNs) -> bool {
        now.ns() < self.responder_paused_until.ns()
    }

    /// Whether addresses with this prefix embed an IPv4 address.
    #[inline(always)]
    #[must_use]
    pub const fn is_nat64(&self, prefix: Prefix) -> bool {
        if is_same(prefix, WELL_KNOWN) {
            return true;
        }
        let mut i = 0;
        while i < MAX_PREFIXES {
            if i as u32 >= self.nat64_count {
                return false;
            }
            if is_same(prefix, self.nat64[i]) {
                return true;
            }
            i += 1;
        }
        false
    }
}

#[inline(always)]
const fn is_same(a: Prefix, b: Prefix) -> bool {
    a[0] == b[0] && a[1] == b[1] && a[2] == b[2]
}

/// Which hits slide an entry's expiry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Refresh {
    /// Every packet, as in xt_recent `--update`.
    #[default]
    Packet = 0,
    /// Only new connections (SYN without ACK).
    Syn = 1,
    /// None, as in xt_recent `--rcheck`.
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

    /// Whether a hit of a packet slides an entry's expiry. `syn`: the packet begins a
    /// connection.
    #[inline(always)]
    #[must_use]
    pub const fn slides(self, syn: bool) -> bool {
        match self {
            Self::Packet => true,
            Self::Syn => syn,
            Self::Never => false,
        }
    }
}

const _: () = assert!(size_of::<Settings>() == 128);

#[cfg(feature = "user")]
// SAFETY: repr(C) without padding (size asserted above), integers only.
unsafe impl aya::Pod for Settings {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends_at_its_time() {
        let [before, end] = [9, 10].map(MonotonicNs::from_ns);
        let pauses = |settings: &Settings, now| {
            [
                settings.is_drop_paused(now),
                settings.is_release_paused(now),
                settings.is_gate_paused(now),
                settings.is_responder_paused(now),
            ]
        };
        for index in 0..4 {
            let mut ends = [MonotonicNs::default(); 4];
            ends[index] = end;
            let [drop, release, gate, responder] = ends;
            let settings = Settings {
                drop_paused_until: drop,
                release_paused_until: release,
                gate_paused_until: gate,
                responder_paused_until: responder,
                ..Settings::default()
            };
            let mut expected = [false; 4];
            assert_eq!(pauses(&settings, end), expected);
            expected[index] = true;
            assert_eq!(pauses(&settings, before), expected);
        }
    }

    #[test]
    fn the_ports_in_the_slots_are_watched_and_no_others() {
        let all = [25, 465, 587, 2525, 26, 27, 28, 65_535];
        for used in 0..=MAX_PORTS {
            let mut settings = Settings::default();
            settings.ports[..used].copy_from_slice(&all[..used]);
            for (slot, port) in all.into_iter().enumerate() {
                assert_eq!(settings.watches(port), slot < used, "{port} of {used}");
            }
            assert!(!settings.watches(24));
        }
        assert!(!Settings::default().watches(0));
    }

    #[test]
    fn the_well_known_prefix_and_those_that_are_counted_embed_ipv4() {
        let prefixes = [[1, 2, 3], [1, 2, 4], [5, 0, 0], [7, 7, 7]];
        let mut settings = Settings {
            nat64: prefixes,
            ..Settings::default()
        };
        // The filter must not read behind the list, whatever the number in the map.
        for count in 0..=MAX_PREFIXES + 1 {
            settings.nat64_count = count as u32;
            for (index, prefix) in prefixes.into_iter().enumerate() {
                assert_eq!(settings.is_nat64(prefix), index < count, "{index}");
            }
            assert!(settings.is_nat64(WELL_KNOWN));
            for other in [[1, 2, 5], [WELL_KNOWN[0], 0, 1], [0; 3]] {
                assert!(!settings.is_nat64(other), "{other:?}");
            }
        }
    }

    #[test]
    fn refresh_numbers_are_read_back() {
        for refresh in [Refresh::Packet, Refresh::Syn, Refresh::Never] {
            assert_eq!(Refresh::from_number(refresh as u32), refresh);
        }
        assert_eq!(Refresh::from_number(3), Refresh::Packet);
    }
}
