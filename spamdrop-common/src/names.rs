//! Names of maps and programs, at most 15 bytes each. A map is pinned under its
//! own name in the directory of its version, so that `bpftool map dump pinned
//! /sys/fs/bpf/spamdrop/v4/blocked4` works as expected.

/// LRU map of blocked IPv4 addresses: 4 bytes in network order → [`Entry`].
///
/// [`Entry`]: crate::entry::Entry
pub const BLOCKED4: &str = "blocked4";
/// LRU map of blocked IPv6 /64 prefixes: 8 bytes in network order → [`Entry`].
///
/// [`Entry`]: crate::entry::Entry
pub const BLOCKED6: &str = "blocked6";
/// LRU map of IPv6 addresses that are blocked without their /64: 16 bytes in
/// network order → [`Entry`]. The filter skips it while
/// [`Settings::addresses6`] is 0.
///
/// [`Entry`]: crate::entry::Entry
/// [`Settings::addresses6`]: crate::settings::Settings::addresses6
pub const BLOCKED6_ADDR: &str = "blocked6_addr";
/// Array of recently dropped sources from [`BLOCKED4`]: line → its
/// [`RecentDrop`] slots.
///
/// [`RecentDrop`]: crate::recent_drop::RecentDrop
pub const RECENT_DROPS4: &str = "recent_drops4";
/// The constant of the filter that holds the binary logarithm of the number of lines
/// of [`RECENT_DROPS4`].
pub const RECENT_DROP_LINE_BITS: &str = "RECENT_DROP_LINE_BITS";
/// The constant of the filter that holds [`unit_bits`](crate::recent_drop::unit_bits).
pub const RECENT_DROP_UNIT_BITS: &str = "RECENT_DROP_UNIT_BITS";
/// Trie of blocked IPv4 prefixes → [`CidrEntry`](crate::entry::CidrEntry).
pub const CIDR4: &str = "cidr4";
/// Trie of blocked IPv6 prefixes → [`CidrEntry`](crate::entry::CidrEntry).
pub const CIDR6: &str = "cidr6";
/// Trie of IPv4 prefixes that are never blocked →
/// [`AllowEntry`](crate::entry::AllowEntry).
pub const ALLOW4: &str = "allow4";
/// Trie of IPv6 prefixes that are never blocked →
/// [`AllowEntry`](crate::entry::AllowEntry).
pub const ALLOW6: &str = "allow6";
/// Trie of the IPv4 destinations to which blocks and the gate apply →
/// [`Destination`](crate::entry::Destination); see [`Settings::destinations`].
///
/// [`Settings::destinations`]: crate::settings::Settings::destinations
pub const DESTINATIONS4: &str = "destinations4";
/// As [`DESTINATIONS4`], for IPv6.
pub const DESTINATIONS6: &str = "destinations6";
/// One [`Settings`](crate::settings::Settings). User space writes it.
pub const SETTINGS: &str = "settings";
/// One [`Counters`](crate::counter::Counters) for each CPU.
pub const COUNTERS: &str = "counters";
/// Number of packets that are neither IPv4, IPv6 nor ARP: interface index → `u64`. The
/// filter counts only for interfaces whose element the daemon has created.
pub const NOT_IP: &str = "not_ip";
/// Why an address is blocked, for the administrator; the filter does not read
/// it. Full address → [`Origin`](crate::entry::Origin).
pub const ORIGINS: &str = "origins";
/// One [`Gate`](crate::gate::Gate). The daemon writes it.
pub const GATE: &str = "gate";
/// One [`GateStats`](crate::gate::GateStats). The filter writes it.
pub const GATE_STATS: &str = "gate_stats";
/// Known senders, by [`source_key`] → [`KnownSender`].
///
/// [`source_key`]: crate::gate::source_key
/// [`KnownSender`]: crate::gate::KnownSender
pub const KNOWN: &str = "known";
/// IPv6 addresses that are known without the rest of their /64: address →
/// [`KnownSender`](crate::gate::KnownSender). Their /64 is in [`KNOWN`], as `NOT_WHOLE`.
pub const KNOWN6_ADDR: &str = "known6_addr";
/// Networks of the senders in [`KNOWN`], by [`net_key`] → [`KnownSender`].
///
/// [`net_key`]: crate::gate::net_key
/// [`KnownSender`]: crate::gate::KnownSender
pub const KNOWN_NETS: &str = "known_nets";
/// LRU map of the zones' verdicts: [`source_key`] → [`Verdict`].
///
/// [`source_key`]: crate::gate::source_key
/// [`Verdict`]: crate::gate::Verdict
pub const VERDICTS: &str = "verdicts";
/// Ring buffer of [`LookupRequest`](crate::gate::LookupRequest)s: SYNs whose
/// class has to wait.
pub const LOOKUP_REQUESTS: &str = "lookup_requests";
/// Source ([`source_key`](crate::gate::source_key)) →
/// [`NextAdmit`](crate::gate::NextAdmit): strangers whose next SYN is admitted.
pub const NEXT_ADMITS: &str = "next_admits";

/// The responder's listening sockets, if there are any.
pub const RESPONDER: &str = "responder";
/// The index of the IPv4 socket in [`RESPONDER`]. Each family needs its own, because
/// a socket that is bound to an address of one family accepts no connection of
/// the other.
pub const RESPONDER4: u32 = 0;
/// The index of the IPv6 socket in [`RESPONDER`].
pub const RESPONDER6: u32 = 1;

/// The program for drivers with multi-buffer support (`xdp.frags`, Linux 5.18).
pub const PROGRAM_FRAGS: &str = "spamdrop";
/// As [`PROGRAM_FRAGS`], for kernels and drivers without multi-buffer support.
pub const PROGRAM_PLAIN: &str = "spamdrop_plain";
/// As [`PROGRAM_FRAGS`], for links whose packets begin with the IP header.
pub const PROGRAM_IP_FRAGS: &str = "spamdrop_ip";
/// As [`PROGRAM_PLAIN`], for links whose packets begin with the IP header.
pub const PROGRAM_IP_PLAIN: &str = "spamdrop_ip_one";
/// The `sk_lookup` program that assigns connections of listed senders to the
/// sockets in [`RESPONDER`].
pub const PROGRAM_ANSWER: &str = "spamdrop_answer";
