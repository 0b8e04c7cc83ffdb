//! All maps and the look-ups in them. The maps are defined with BTF, so that
//! bpftool prints their fields by name. The loader pins them under these names.

use aya_ebpf::{
    Global,
    bindings::{BPF_F_MMAPABLE, BPF_F_NO_PREALLOC},
    btf_maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf, SockMap, lpm_trie::Key},
    macros::btf_map,
    programs::SkLookupContext,
};
use spamdrop_common::{
    abi::{self, LOOKUP_REQUEST_BYTES},
    action::decides,
    counter::{Counters, Reason},
    entry::{AllowEntry, CidrEntry, Destination, Entry, Origin},
    gate::{Gate, GateStats, KnownSender, LookupRequest, NextAdmit, Verdict, source_key},
    names::{RESPONDER4, RESPONDER6},
    packet::Segment,
    recent_drop::{Line, Place},
    settings::Settings,
    time::MonotonicNs,
};

use crate::{clock, touch};

const PREFIXES: usize = abi::PREFIXES as usize;
const VERDICT_COUNT: usize = abi::VERDICTS as usize;
const NO_PREALLOC: usize = BPF_F_NO_PREALLOC as usize;
const MMAPABLE: usize = BPF_F_MMAPABLE as usize;

// The loader replaces the sizes that the configuration sets.
#[btf_map(name = "blocked4")]
static BLOCKED4: LruHashMap<[u8; 4], Entry, 262_144> = LruHashMap::new();
#[btf_map(name = "blocked6")]
static BLOCKED6: LruHashMap<[u8; 8], Entry, 65_536> = LruHashMap::new();
#[btf_map(name = "blocked6_addr")]
static BLOCKED6_ADDR: LruHashMap<[u8; 16], Entry, 16_384> = LruHashMap::new();
#[btf_map(name = "recent_drops4")]
static RECENT_DROPS4: Array<Line, 32_768, MMAPABLE> = Array::new();
/// The binary logarithm of the number of lines. The loader sets this constant and the next
/// one, and freezes both.
#[unsafe(no_mangle)]
static RECENT_DROP_LINE_BITS: Global<u32> = Global::new(15);
/// The binary logarithm of the number of ticks in a unit.
#[unsafe(no_mangle)]
static RECENT_DROP_UNIT_BITS: Global<u32> = Global::new(0);
#[btf_map(name = "cidr4")]
static CIDR4: LpmTrie<[u8; 4], CidrEntry, PREFIXES> = LpmTrie::new();
#[btf_map(name = "cidr6")]
static CIDR6: LpmTrie<[u8; 16], CidrEntry, PREFIXES> = LpmTrie::new();
#[btf_map(name = "allow4")]
static ALLOW4: LpmTrie<[u8; 4], AllowEntry, PREFIXES> = LpmTrie::new();
#[btf_map(name = "allow6")]
static ALLOW6: LpmTrie<[u8; 16], AllowEntry, PREFIXES> = LpmTrie::new();
#[btf_map(name = "destinations4")]
static DESTINATIONS4: LpmTrie<[u8; 4], Destination, PREFIXES> = LpmTrie::new();
#[btf_map(name = "destinations6")]
static DESTINATIONS6: LpmTrie<[u8; 16], Destination, PREFIXES> = LpmTrie::new();
#[btf_map(name = "known")]
static KNOWN: HashMap<[u8; 8], KnownSender, 65_536, NO_PREALLOC> = HashMap::new();
#[btf_map(name = "known6_addr")]
static KNOWN6_ADDR: HashMap<[u8; 16], KnownSender, 65_536, NO_PREALLOC> = HashMap::new();
#[btf_map(name = "known_nets")]
static KNOWN_NETS: HashMap<[u8; 8], KnownSender, 65_536, NO_PREALLOC> = HashMap::new();
#[btf_map(name = "verdicts")]
static VERDICTS: LruHashMap<[u8; 8], Verdict, VERDICT_COUNT> = LruHashMap::new();
#[btf_map(name = "gate")]
static GATE: Array<Gate, 1> = Array::new();
#[btf_map(name = "gate_stats")]
static GATE_STATS: Array<GateStats, 1> = Array::new();
#[btf_map(name = "next_admits")]
static NEXT_ADMITS: HashMap<[u8; 8], NextAdmit, { abi::NEXT_ADMITS as usize }, NO_PREALLOC> =
    HashMap::new();
#[btf_map(name = "lookup_requests")]
// Without a type, because libbpf refuses a ring buffer that has one.
static LOOKUP_REQUESTS: RingBuf<(), { LOOKUP_REQUEST_BYTES as usize }> = RingBuf::new();
#[btf_map(name = "responder")]
static RESPONDER: SockMap<2> = SockMap::new();
#[btf_map(name = "settings")]
static SETTINGS: Array<Settings, 1> = Array::new();
#[btf_map(name = "counters")]
static COUNTERS: PerCpuArray<Counters, 1> = PerCpuArray::new();
#[btf_map(name = "not_ip")]
static NOT_IP: HashMap<u32, u64, { abi::INTERFACES as usize }, NO_PREALLOC> = HashMap::new();
// The filter does not read this map. The declaration gives the fields of its
// values BTF types in the kernel.
#[btf_map(name = "origins")]
static ORIGINS: HashMap<[u8; 16], Origin, 262_144, NO_PREALLOC> = HashMap::new();

#[inline(always)]
pub fn settings() -> Option<&'static Settings> {
    SETTINGS.get(0)
}

#[inline(always)]
pub fn count(reason: Reason) {
    if let Some(counters) = COUNTERS.get_ptr_mut(0) {
        let slot = counters.cast::<u64>();
        // SAFETY: `Counters` has one u64 for each reason, in the same order.
        // The value belongs to this CPU, and no second packet runs on it
        // meanwhile.
        unsafe { *slot.add(reason as usize) += 1 };
    }
}

/// Counts a packet that is not IP, if the daemon has made a counter for the interface.
#[inline(always)]
pub fn count_not_ip(interface: u32) {
    if let Some(number) = NOT_IP.get_ptr_mut(interface) {
        touch::add_one(number);
    }
}

/// The entry that decides about the source: that of its address or of its /64, not that of
/// a blocked prefix. A look-up costs time even in an empty map, so the map of single IPv6
/// addresses is skipped while it is empty.
#[inline(always)]
pub fn blocked(settings: &Settings, segment: &Segment) -> Option<*mut Entry> {
    if segment.v6 {
        let [a, b, c, d, e, f, g, h, ..] = segment.source;
        let net = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
        let entry = if settings.addresses6 == 0 {
            blocked6(net)
        } else {
            blocked6_or_address(&segment.source, net)
        };
        (!entry.is_null()).then_some(entry)
    } else {
        BLOCKED4.get_ptr_mut(segment.source4())
    }
}

/// The entry of an IPv6 /64, or null.
///
/// A separate function: otherwise LLVM merges both families into one call of
/// the kernel's helper. The kernel can inline a map's look-up only if it knows
/// which map the call is for.
#[inline(never)]
fn blocked6(key: u64) -> *mut Entry {
    let found = BLOCKED6.get_ptr_mut(key.to_ne_bytes());
    found.unwrap_or_default()
}

/// As [`blocked6`], or the entry of the address alone if that decides.
#[inline(never)]
fn blocked6_or_address(source: &[u8; 16], net: u64) -> *mut Entry {
    let net = blocked6(net);
    let Some(address) = BLOCKED6_ADDR.get_ptr_mut(*source) else {
        return net;
    };
    if net.is_null() {
        return address;
    }
    // SAFETY: the look-ups returned the pointers, and every bit pattern is a
    // valid `Entry`.
    let (seen, other) = unsafe { (address.read_volatile(), net.read_volatile()) };
    if decides(&seen, &other, clock::now()) {
        address
    } else {
        net
    }
}

/// The line that may hold a source.
#[inline(always)]
pub fn recent_drops(place: Place) -> Option<*mut Line> {
    RECENT_DROPS4.get_ptr_mut(place.line)
}

/// The binary logarithm of the number of lines, as [`Place::from_source`] needs it.
#[inline(always)]
pub fn line_bits() -> u32 {
    RECENT_DROP_LINE_BITS.load()
}

/// The binary logarithm of the number of ticks in a unit of the recent drops.
#[inline(always)]
pub fn unit_bits() -> u32 {
    RECENT_DROP_UNIT_BITS.load()
}

/// Adds the hits of a recent drop to its entry, if that still exists, and stores the
/// postponed slide. `last`: the time of the last hit that slides the expiry. The
/// look-up marks the entry as recently used.
#[inline(always)]
pub fn add_recent_drop(place: Place, hits: u32, last: Option<MonotonicNs>) {
    if let Some(entry) = BLOCKED4.get_ptr_mut(place.source(line_bits())) {
        touch::add_hits(entry, hits);
        if let Some(last) = last {
            touch::slide(entry, last);
        }
    }
}

#[inline(always)]
pub fn has_cidrs(settings: &Settings, segment: &Segment) -> bool {
    if segment.v6 {
        settings.cidrs6 != 0
    } else {
        settings.cidrs4 != 0
    }
}

#[inline(always)]
pub fn blocked_prefix(segment: &Segment) -> Option<*mut CidrEntry> {
    let found = if segment.v6 {
        CIDR6.get(&Key::new(128, segment.source))
    } else {
        CIDR4.get(&Key::new(32, segment.source4()))
    };
    found.map(|prefix| core::ptr::from_ref(prefix).cast_mut())
}

#[inline(always)]
pub fn is_allowed(v6: bool, source: &[u8; 16]) -> bool {
    if v6 {
        return ALLOW6.get(&Key::new(128, *source)).is_some();
    }
    let [a, b, c, d, ..] = *source;
    ALLOW4.get(&Key::new(32, [a, b, c, d])).is_some()
}

#[inline(always)]
pub fn is_destination4(address: [u8; 4]) -> bool {
    DESTINATIONS4.get(&Key::new(32, address)).is_some()
}

#[inline(always)]
pub fn is_destination6(address: [u8; 16]) -> bool {
    DESTINATIONS6.get(&Key::new(128, address)).is_some()
}

#[inline(always)]
pub fn gate() -> Option<&'static Gate> {
    GATE.get(0)
}

#[inline(always)]
pub fn gate_stats() -> Option<*mut GateStats> {
    GATE_STATS.get_ptr_mut(0)
}

/// Whether a SYN of this source is admitted at `now` because of its element in
/// `next_admits`. True for one SYN only: the element is then used up.
#[inline(always)]
pub fn take_next_admit(key: [u8; 8], now: MonotonicNs) -> bool {
    let Some(admit) = NEXT_ADMITS.get_ptr_mut(key) else {
        return false;
    };
    // SAFETY: the look-up returned the pointer, and every bit pattern is valid.
    let until = unsafe { admit.cast::<u64>().read_volatile() };
    until >= now.ns() && touch::exchange(admit.cast(), until, 0)
}

/// Whether the sender is known. `is_listed`: whether its address is on a
/// blocklist; then an IPv6 sender is not known by its /64, but only by its own
/// address.
#[inline(always)]
pub fn is_known(v6: bool, source: &[u8; 16], is_listed: bool) -> bool {
    // SAFETY: the value is read once; every bit pattern is valid.
    let known = KNOWN
        .get_ptr(source_key(v6, *source))
        .map(|known| unsafe { known.read_volatile() });
    match known {
        None => false,
        Some(known) if !v6 || (known.is_whole() && !is_listed) => true,
        // SAFETY: the value is not read.
        Some(_) => unsafe { KNOWN6_ADDR.get(*source).is_some() },
    }
}

#[inline(always)]
pub fn is_near_known(key: [u8; 8]) -> bool {
    // SAFETY: the value is not read.
    unsafe { KNOWN_NETS.get(key).is_some() }
}

/// A copy of the verdict. The kernel may give the slot to another source
/// meanwhile; the effect is limited to one new connection.
#[inline(always)]
pub fn verdict(key: [u8; 8]) -> Option<Verdict> {
    // SAFETY: the look-up returned the pointer, and every bit pattern is valid.
    VERDICTS
        .get_ptr(key)
        .map(|verdict| unsafe { verdict.read_volatile() })
}

/// Reports a SYN to the daemon. Does nothing while the ring buffer is full.
#[inline(always)]
pub fn request_lookup(request: LookupRequest) {
    if let Some(mut entry) = LOOKUP_REQUESTS.reserve_untyped(0) {
        entry.write(request);
        entry.submit(0);
    }
}

/// Assigns a new connection to the responder. Does nothing if there is no
/// responder, or if another program has assigned the connection.
#[inline(always)]
pub fn give_to_responder(ctx: &SkLookupContext, v6: bool) {
    let slot = if v6 { RESPONDER6 } else { RESPONDER4 };
    let _ = RESPONDER.redirect_sk_lookup(ctx, slot, 0);
}
