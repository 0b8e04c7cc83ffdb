//! A blocked host that never gives up is told so again.

use spamdrop_common::{
    action::{is_live, slide},
    entry::{Entry, ORIGIN_LOG},
    settings::Refresh,
    time::MonotonicNs,
};
use spamdrop_core::term::Term;

/// Between two tries, in seconds.
const PAUSE: u32 = 240;
const TWO_HOURS: u32 = 7_200;

/// After how many seconds a host that keeps trying gets through to the server
/// and is told its 5xx, which blocks it again.
fn told(hard_limit_s: u32) -> Vec<u32> {
    let mut entry = Entry::default();
    let mut told = Vec::new();
    for after_s in (0..=TWO_HOURS).step_by(PAUSE as usize) {
        let now = MonotonicNs::from_second(1_000 + after_s);
        if is_live(entry.expires, now) {
            entry.expires = slide(&entry, now, true, Refresh::Packet);
            continue;
        }
        told.push(after_s);
        let term = Term {
            start: now,
            ttl_s: 600,
            slides: true,
            hard_limit_s,
        };
        entry = term.entry(ORIGIN_LOG);
    }
    told
}

#[test]
fn who_keeps_retrying_is_told_every_hour() {
    // At the first try after the hour.
    assert_eq!(told(3_600), [0, 3_840]);
    assert_eq!(told(0), [0]);
}
