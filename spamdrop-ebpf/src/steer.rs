//! Selects the socket for a new connection: the responder's if the sender is
//! listed, otherwise the mail server's.

use aya_ebpf::{
    bindings::{bpf_sk_lookup, sk_action::SK_PASS},
    macros::sk_lookup,
    programs::SkLookupContext,
};
use spamdrop_common::{
    gate::{SMTP_PORT, source_key},
    packet::Segment,
};

use crate::{clock, maps};

const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const TCP: u32 = 6;

/// Runs when the kernel looks up the listening socket for a connection.
#[sk_lookup]
pub fn spamdrop_answer(ctx: SkLookupContext) -> u32 {
    if let Some(segment) = watched(ctx.lookup)
        && is_for_responder(&segment)
    {
        maps::give_to_responder(&ctx, segment.packet_v6);
    }
    SK_PASS
}

/// Whether the responder takes the connection. Known and allowlisted senders reach
/// the mail server, as at the gate.
#[inline(always)]
fn is_for_responder(segment: &Segment) -> bool {
    let Some(gate) = maps::gate() else {
        return false;
    };
    let now = clock::now();
    if !gate.has_responder_now(segment.packet_v6, now) {
        return false;
    }
    let key = source_key(segment.v6, segment.source);
    maps::verdict(key).is_some_and(|verdict| verdict.rejects(segment.v6, segment.source, now))
        && !maps::settings().is_some_and(|settings| settings.is_responder_paused(now))
        && !maps::is_known(segment.v6, &segment.source, true)
        && !maps::is_allowed(segment.v6, &segment.source)
}

/// The segment that opens a connection to the SMTP port, if that port is watched. The
/// fields that this program does not need are 0.
#[inline(always)]
fn watched(lookup: *const bpf_sk_lookup) -> Option<Segment> {
    // SAFETY: the kernel passes a valid context. Each field is read with its
    // declared width, because the verifier allows no wider load.
    let read = |field: *const u32| unsafe { field.read_volatile() };
    // SAFETY: only addresses of fields are taken, here and below.
    let (family, protocol, port) = unsafe {
        (
            read(&raw const (*lookup).family),
            read(&raw const (*lookup).protocol),
            read(&raw const (*lookup).local_port),
        )
    };
    let port = u16::try_from(port).ok()?;
    let settings = maps::settings()?;
    if protocol != TCP || port != SMTP_PORT || !settings.watches(port) {
        return None;
    }
    let words = match family {
        // SAFETY: as above.
        AF_INET => [read(unsafe { &raw const (*lookup).remote_ip4 }), 0, 0, 0],
        AF_INET6 => {
            // SAFETY: as above.
            let first = unsafe { (&raw const (*lookup).remote_ip6).cast::<u32>() };
            // SAFETY: the array has four words.
            [0, 1, 2, 3].map(|word| read(unsafe { first.add(word) }))
        }
        _ => return None,
    };
    let mut segment = Segment {
        v6: family == AF_INET6,
        packet_v6: family == AF_INET6,
        // SAFETY: four words are sixteen bytes, and every byte is valid.
        source: unsafe { core::mem::transmute::<[u32; 4], [u8; 16]>(words) },
        destination4: [0; 4],
        port,
        syn: true,
        ttl: 0,
        source_port: 0,
        sequence: 0,
    };
    segment.translate(settings);
    Some(segment)
}
