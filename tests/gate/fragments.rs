//! The gate and the blocks against SYNs in fragments.

use std::net::IpAddr;

use crate::{REFUSED, STRANGER, Site, WINDOWS, spec};
use spamdrop_common::counter::Reason;
use spamdrop_filter::DROP;
use spamdrop_lab::frame::{ACK, FrameSpec, tcp_frame};

/// The first fragment of a segment with ACK, not SYN. It has this many bytes of the TCP
/// header, which padding follows.
fn first_fragment(source: &str, bytes: u8) -> Vec<u8> {
    let mut frame = tcp_frame(&FrameSpec {
        flags: ACK,
        fragment: Some((0, true)),
        ..spec(source, WINDOWS)
    });
    frame[16..18].copy_from_slice(&[0, 20 + bytes]);
    frame
}

#[test]
fn a_fragment_without_flags_waits_like_a_syn() {
    let mut site = Site::new();
    site.open(1_000);
    for bytes in [8, 15] {
        assert_eq!(site.filter.run(&first_fragment(STRANGER, bytes)), REFUSED);
    }
    let whole = site.filter.run(&first_fragment(STRANGER, 16));
    assert_eq!(whole.1, Reason::NotBlocked);
    let stranger: IpAddr = STRANGER.parse().unwrap();
    assert_eq!(site.asked(), [stranger; 2]);
}

#[test]
fn a_fragment_without_flags_from_a_blocked_source_is_dropped() {
    let mut site = Site::new();
    site.filter.add(STRANGER, 600, 0, false);
    let found = site.filter.run(&first_fragment(STRANGER, 8));
    assert_eq!(found, (DROP, Reason::OpenDropped));
}
