//! Names of maps and programs, at most 15 bytes each. A map is pinned under its
//! own name below the directory of its version, so that `bpftool map dump
//! pinned /sys/fs/bpf/spamdrop/v2/blocked4` reads as it should.

/// LRU map of blocked IPv4 addresses: 4 bytes in network order → [`Entry`].
///
/// [`Entry`]: crate::entry::Entry
pub const BLOCKED4: &str = "blocked4";
/// LRU map of blocked IPv6 /64 prefixes: 8 bytes in network order → [`Entry`].
///
/// [`Entry`]: crate::entry::Entry
pub const BLOCKED6: &str = "blocked6";
/// LRU map of IPv6 addresses that are blocked without their /64: 16 bytes in
/// network order → [`Entry`]. The filter does not read it yet; see
/// [`Settings::addresses6`].
///
/// [`Entry`]: crate::entry::Entry
/// [`Settings::addresses6`]: crate::settings::Settings::addresses6
pub const BLOCKED6_ADDR: &str = "blocked6_addr";
/// Array of the sources in [`BLOCKED4`] that were dropped a moment ago: line →
/// its [`RecentDrop`] slots.
///
/// [`RecentDrop`]: crate::recent_drop::RecentDrop
pub const RECENT_DROPS4: &str = "recent_drops4";
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
/// One [`Settings`](crate::settings::Settings), written by user space.
pub const SETTINGS: &str = "settings";
/// One [`Counters`](crate::counter::Counters) for each CPU.
pub const COUNTERS: &str = "counters";
/// Why an address is blocked; kept for the administrator, not read by the
/// filter. Full address → [`Origin`](crate::entry::Origin).
pub const ORIGINS: &str = "origins";
/// One [`Gate`](crate::gate::Gate), written by the daemon.
pub const GATE: &str = "gate";
/// One [`GateStats`](crate::gate::GateStats), written by the filter.
pub const GATE_STATS: &str = "gate_stats";
/// Known senders, by [`source_key`] → [`KnownSender`].
///
/// [`source_key`]: crate::gate::source_key
/// [`KnownSender`]: crate::gate::KnownSender
pub const KNOWN: &str = "known";
/// Networks of the senders in [`KNOWN`], by [`net_key`] → [`KnownSender`].
///
/// [`net_key`]: crate::gate::net_key
/// [`KnownSender`]: crate::gate::KnownSender
pub const KNOWN_NETS: &str = "known_nets";
/// LRU map of what the zones say: [`source_key`] → [`Verdict`].
///
/// [`source_key`]: crate::gate::source_key
/// [`Verdict`]: crate::gate::Verdict
pub const VERDICTS: &str = "verdicts";
/// Ring buffer of [`LookupRequest`](crate::gate::LookupRequest)s: sources whose
/// class has to wait.
pub const LOOKUP_REQUESTS: &str = "lookup_requests";
/// Array of [`RecentSyn`](crate::gate::RecentSyn)s, used during a flood.
pub const RECENT_SYNS: &str = "recent_syns";

/// The responder's listening sockets, where there are any.
pub const RESPONDER: &str = "responder";
/// The slot of the socket for IPv4; a socket that is bound to an address of one
/// family takes no connection of the other.
pub const RESPONDER4: u32 = 0;
/// The slot of the socket for IPv6.
pub const RESPONDER6: u32 = 1;

/// The program for drivers with multi-buffer support (`xdp.frags`, Linux 5.18).
pub const PROGRAM_FRAGS: &str = "spamdrop";
/// The same program for kernels and drivers without it.
pub const PROGRAM_PLAIN: &str = "spamdrop_plain";
/// The `sk_lookup` program that gives connections of listed senders to
/// [`RESPONDER`].
pub const PROGRAM_ANSWER: &str = "spamdrop_answer";
