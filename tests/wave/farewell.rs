//! A blocked bot may still end each of its open sessions by QUIT.

use std::time::{Duration, Instant};

use serde_json::Value;
use spamdrop_lab::wait::until;
use spamdrop_lab::{Client, Site};

use super::SPAMDROP;

const BOT: &str = "100.64.0.66";
/// Maximum time from QUIT to the free slot.
const AT_ONCE: Duration = Duration::from_secs(1);
/// The default of `grace`.
const GRACE: Duration = Duration::from_secs(3);

/// Both connections were open before the block.
#[test]
fn a_refused_bot_ends_both_its_sessions_in_order() {
    let site = Site::new(SPAMDROP.as_ref(), |_| {}).unwrap();
    site.blacklist(BOT).unwrap();
    let _daemon = site.run().unwrap();
    let [mut first, mut second] = [(); 2].map(|()| site.connect(BOT).unwrap());
    assert_eq!(first.reject_session().unwrap().code, 511);
    let blocked = Instant::now();
    wait_for_block(&site);
    assert_eq!(second.reject_session().unwrap().code, 511);
    for (client, left) in [(&mut first, 1), (&mut second, 0)] {
        quits(&site, client, left);
    }
    assert!(blocked.elapsed() < GRACE, "it would have been released");
    let counters = site.spamdrop(&["stats", "--json"]).unwrap();
    let counters: Value = serde_json::from_str(&counters).unwrap();
    assert_eq!(counters["sealed_dropped"], 0, "{counters}");
}

fn wait_for_block(site: &Site) {
    until("the block", AT_ONCE, || {
        Ok((site.listed()? == [BOT]).then_some(()))
    })
    .unwrap();
}

fn quits(site: &Site, client: &mut Client, left: usize) {
    let start = Instant::now();
    assert_eq!(client.quit().unwrap().code, 221);
    client.expect_close(AT_ONCE).unwrap();
    until("the slot to be free", AT_ONCE - start.elapsed(), || {
        Ok((site.smtpd.sessions()? == left).then_some(()))
    })
    .unwrap();
}
