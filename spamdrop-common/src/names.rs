//! Names of maps and programs. A map is pinned under its own name, so that
//! `bpftool map dump pinned /sys/fs/bpf/spamdrop/blocked4` reads as it should.

/// LRU map of blocked IPv4 addresses: 4 bytes in network order → [`Entry`].
///
/// [`Entry`]: crate::entry::Entry
pub const BLOCKED4: &str = "blocked4";
/// LRU map of blocked IPv6 /64 prefixes: 8 bytes in network order → [`Entry`].
///
/// [`Entry`]: crate::entry::Entry
pub const BLOCKED6: &str = "blocked6";
/// Array of the sources in [`BLOCKED4`] that were dropped a moment ago: set →
/// its [`Hot`] slots.
///
/// [`Hot`]: crate::hot::Hot
pub const HOT4: &str = "hot4";
/// Trie of blocked IPv4 prefixes.
pub const CIDR4: &str = "cidr4";
/// Trie of blocked IPv6 prefixes.
pub const CIDR6: &str = "cidr6";
/// Trie of IPv4 prefixes that are never blocked.
pub const ALLOW4: &str = "allow4";
/// Trie of IPv6 prefixes that are never blocked.
pub const ALLOW6: &str = "allow6";
/// One [`Settings`](crate::settings::Settings), written by the controller.
pub const SETTINGS: &str = "settings";
/// One [`Counters`](crate::counter::Counters) for each CPU.
pub const COUNTERS: &str = "counters";
/// Why an address is blocked; kept for the administrator, unused in XDP.
pub const ORIGINS: &str = "origins";
/// One [`Gate`](crate::gate::Gate), written by the controller.
pub const GATE: &str = "gate";
/// One [`Passage`](crate::gate::Passage), written by the filter.
pub const PASSAGE: &str = "passage";
/// Sources who are known to send good mail, by [`source_key`]; the value means
/// nothing.
///
/// [`source_key`]: crate::gate::source_key
pub const KNOWN: &str = "known";
/// Neighbourhoods of those in [`KNOWN`], by [`net_key`]; likewise.
///
/// [`net_key`]: crate::gate::net_key
pub const KNOWN_NETS: &str = "known_nets";
/// LRU map of what the blocklists say: [`source_key`] → [`Verdict`].
///
/// [`source_key`]: crate::gate::source_key
/// [`Verdict`]: crate::gate::Verdict
pub const VERDICTS: &str = "verdicts";
/// Ring buffer of [`Ask`](crate::gate::Ask)s: sources whose class has to wait.
pub const ASKS: &str = "asks";
/// Array of [`Syn`](crate::gate::Syn)s, during a flood.
pub const RECENT_SYNS: &str = "recent_syns";

/// The sockets that answer listed senders, where there are any.
pub const RESPONDER: &str = "responder";
/// The slot of the one for IPv4; a socket on an address of one family takes no
/// connection of the other.
pub const RESPONDER4: u32 = 0;
/// The slot of the one for IPv6.
pub const RESPONDER6: u32 = 1;

/// The program for drivers with multi-buffer support (`xdp.frags`, Linux 5.18).
pub const PROGRAM_FRAGS: &str = "spamdrop";
/// The same program for kernels and drivers without it.
pub const PROGRAM_PLAIN: &str = "spamdrop_plain";
/// The program that gives connections of listed senders to [`RESPONDER`].
pub const PROGRAM_ANSWER: &str = "spamdrop_answer";
