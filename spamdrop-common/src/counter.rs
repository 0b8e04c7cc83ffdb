//! One counter for every way a packet can leave the filter.

macro_rules! counters {
    ($(#[doc = $doc:literal] $reason:ident $field:ident,)+) => {
        /// Why a packet was passed or dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(usize)]
        pub enum Reason {
            $(#[doc = $doc] $reason,)+
        }

        /// Packets by [`Reason`], since the filter was first attached; one
        /// value for each CPU.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(C)]
        pub struct Counters {
            $(#[doc = $doc] pub $field: u64,)+
        }

        impl Reason {
            /// Every reason, in the order of the fields of [`Counters`].
            pub const ALL: &'static [Self] = &[$(Self::$reason,)+];

            /// The name of the reason's field in [`Counters`].
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$reason => stringify!($field),)+ }
            }

            /// The reason in a sentence, for people.
            #[must_use]
            pub const fn description(self) -> &'static str {
                match self { $(Self::$reason => $doc.trim_ascii(),)+ }
            }
        }

        impl Counters {
            /// The packets that left the filter for this reason.
            #[must_use]
            pub const fn get(&self, reason: Reason) -> u64 {
                match reason { $(Reason::$reason => self.$field,)+ }
            }

            /// Adds the packets of another CPU.
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
    /// Passed: to a watched port, from a source that is not listed.
    NotListed not_listed,
    /// Passed: the source's entry has expired.
    Expired expired,
    /// Passed: listed, but on the allowlist.
    Allowed allowed,
    /// Passed: part of a connection that an open entry lets finish.
    OpenPassed open_passed,
    /// Passed: a new connection of a known or trusted sender, while others wait.
    GatePreferred gate_preferred,
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
}

impl Reason {
    /// Whether packets that leave for this reason were dropped.
    #[must_use]
    pub const fn is_drop(self) -> bool {
        matches!(
            self,
            Self::GateRefused | Self::OpenDropped | Self::SealedDropped | Self::CidrDropped
        )
    }

    /// Whether it was the gate that decided.
    #[must_use]
    pub const fn is_of_gate(self) -> bool {
        matches!(
            self,
            Self::GatePreferred | Self::GateAnswered | Self::GateRefused
        )
    }
}

// The filter indexes `Counters` by `Reason`.
const _: () = assert!(size_of::<Counters>() == Reason::ALL.len() * 8);

#[cfg(feature = "user")]
// SAFETY: repr(C), only u64 fields: no padding, every bit pattern is valid.
unsafe impl aya::Pod for Counters {}
