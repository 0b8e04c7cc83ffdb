//! One counter for each reason why a packet leaves the filter.

/// Capacity of [`Counters`], in reasons.
const SLOTS: usize = 32;
const RESERVED: usize = SLOTS - Reason::ALL.len();

macro_rules! counters {
    ($(#[doc = $doc:literal] $reason:ident $field:ident,)+) => {
        /// Why a packet was passed or dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Reason {
            $(#[doc = $doc] $reason,)+
        }

        /// Packets by [`Reason`] since the filter was first attached. One value
        /// for each CPU.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(C)]
        pub struct Counters {
            $(#[doc = $doc] pub $field: u64,)+
            /// Reserved for later reasons; 0.
            pub reserved: [u64; RESERVED],
        }

        impl Reason {
            /// Every reason, in the order of the fields of [`Counters`].
            pub const ALL: &'static [Self] = &[$(Self::$reason,)+];

            /// The name of the reason's field in [`Counters`].
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$reason => stringify!($field),)+ }
            }

            /// A sentence that describes the reason, for command output.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { $(Self::$reason => $doc.trim_ascii(),)+ }
            }
        }

        impl Counters {
            /// The number of packets that left the filter for this reason.
            #[must_use]
            pub const fn get(&self, reason: Reason) -> u64 {
                match reason { $(Reason::$reason => self.$field,)+ }
            }

            /// The counter of this name, if there is one.
            #[must_use]
            pub fn by_name(&mut self, name: &str) -> Option<&mut u64> {
                match name {
                    $(stringify!($field) => Some(&mut self.$field),)+
                    _ => None,
                }
            }

            /// Adds the counts of another CPU.
            pub const fn add(&mut self, other: &Self) {
                $(self.$field = self.$field.wrapping_add(other.$field);)+
            }
        }
    };
}

counters! {
    /// Passed: neither IPv4 nor IPv6, or behind more than two VLAN tags.
    NotIp not_ip,
    /// Passed: IP, but not TCP.
    NotTcp not_tcp,
    /// Passed: a fragment other than the first, which carries no ports.
    LaterFragment later_fragment,
    /// Passed: ends before the TCP flags, or contradicts its own lengths.
    Truncated truncated,
    /// Passed: IPv6 with more than eight extension headers.
    TooManyHeaders too_many_headers,
    /// Passed: TCP to a port that is not watched.
    OtherPort other_port,
    /// Passed: to a watched port, from a source that is not blocked.
    NotBlocked not_blocked,
    /// Passed: the source's entry has expired.
    Expired expired,
    /// Passed: blocked, but on the allowlist.
    Allowed allowed,
    /// Passed: part of a connection that an open entry lets finish.
    OpenPassed open_passed,
    /// Passed: to an address of another host; blocks and the gate do not concern it.
    OtherHost other_host,
    /// Passed: a new connection of a known or allowlisted sender, while strangers wait.
    GateKnownOrAllowed gate_known_or_allowed,
    /// Passed: a new connection of a listed sender, for the responder.
    GateAnswered gate_answered,
    /// Dropped: a new connection while the server has no slots to spare.
    GateRefused gate_refused,
    /// Dropped: a new connection (SYN without ACK) from an open entry.
    OpenDropped open_dropped,
    /// Dropped: any packet from a sealed entry.
    SealedDropped sealed_dropped,
    /// Dropped: any packet from a blocked prefix.
    CidrDropped cidr_dropped,
    /// Passed: blocked, but dropping is paused by hand.
    Paused paused,
}

impl Reason {
    /// Whether this reason means that the packet was dropped.
    #[must_use]
    pub const fn is_drop(self) -> bool {
        matches!(
            self,
            Self::GateRefused | Self::OpenDropped | Self::SealedDropped | Self::CidrDropped
        )
    }

    /// Whether the gate made this decision.
    #[must_use]
    pub const fn is_of_gate(self) -> bool {
        matches!(
            self,
            Self::GateKnownOrAllowed | Self::GateAnswered | Self::GateRefused
        )
    }
}

// The filter indexes `Counters` by `Reason`.
const _: () = assert!(size_of::<Counters>() == SLOTS * 8);

#[cfg(feature = "user")]
// SAFETY: repr(C), only u64 fields: no padding, every bit pattern is valid.
unsafe impl aya::Pod for Counters {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{string::ToString as _, vec::Vec};

    #[test]
    fn each_reason_has_its_own_counter() {
        for (index, &reason) in Reason::ALL.iter().enumerate() {
            let mut slots = [0_u64; SLOTS];
            slots[reason as usize] = 7;
            // SAFETY: `Counters` is `repr(C)` and consists of the same number
            // of u64.
            let counters: Counters = unsafe { core::mem::transmute(slots) };
            assert_eq!(reason as usize, index);
            for &other in Reason::ALL {
                let expected = if other == reason { 7 } else { 0 };
                assert_eq!(counters.get(other), expected, "{reason:?} {other:?}");
            }
            let mut sum = counters;
            sum.add(&counters);
            assert_eq!(sum.get(reason), 14);
        }
    }

    #[test]
    fn a_sum_of_counters_wraps_rather_than_panics() {
        let mut sum = Counters {
            not_ip: u64::MAX,
            ..Counters::default()
        };
        sum.add(&Counters {
            not_ip: 2,
            ..Counters::default()
        });
        assert_eq!(sum.not_ip, 1);
    }

    #[test]
    fn a_reason_is_described_by_what_happens_to_the_packet() {
        for &reason in Reason::ALL {
            let expected = if reason.is_drop() {
                "Dropped: "
            } else {
                "Passed: "
            };
            let description = reason.description();
            assert!(
                description.starts_with(expected),
                "{reason:?}: {description}"
            );
            assert!(description.ends_with('.'), "{reason:?}: {description}");
            assert_eq!(reason.is_of_gate(), reason.name().starts_with("gate_"));
        }
    }

    #[test]
    fn names_are_those_of_the_reasons() {
        for &reason in Reason::ALL {
            let words = reason.name().split('_').map(|word| {
                let (first, rest) = word.split_at(1);
                first.to_uppercase() + rest
            });
            let name = words.collect::<Vec<_>>().concat();
            assert_eq!(name, std::format!("{reason:?}").to_string());
        }
    }
}
