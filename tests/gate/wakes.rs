//! The filter wakes the daemon, which looks at a quiet server seldom.

use spamdrop::kernel::blocklist::Wakes;
use tokio::runtime;
use tokio::time::timeout;

use super::*;

/// Whether the filter has woken the daemon since the last call.
async fn is_woken(wakes: &Wakes) -> bool {
    timeout(Duration::from_millis(100), wakes.next())
        .await
        .is_ok()
}

#[test]
fn the_daemon_is_woken_once_by_a_burst_and_by_no_refusal() {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut site = Site::new();
        let wakes = site.gate_maps.wakes().unwrap();
        let calm = |gate: &mut Gate| gate.wake_after = 4;
        site.tend(0, calm);
        for _ in 0..3 {
            assert_eq!(site.syn(STRANGER, WINDOWS), ADMITTED);
        }
        assert!(!is_woken(&wakes).await);
        // A known sender's SYN takes a slot as well.
        assert_eq!(site.syn(KNOWN, WINDOWS), ADMITTED);
        assert!(is_woken(&wakes).await);
        assert_eq!(site.stats().woken, site.gate_maps.gate().unwrap().written);
        // Once; and the wake-up is no request.
        assert_eq!(site.syn(STRANGER, WINDOWS), ADMITTED);
        assert!(!is_woken(&wakes).await);
        assert_eq!(site.waited(), []);
        // Each gate counts anew.
        site.tend(0, calm);
        let passed = [(); 4].map(|()| site.syn(STRANGER, WINDOWS));
        assert_eq!(passed, [ADMITTED; 4]);
        assert!(is_woken(&wakes).await);
        // A flood of refused SYNs wakes nobody.
        site.open(1_000);
        for _ in 0..3 {
            assert_eq!(site.syn(STRANGER, WINDOWS), REFUSED);
            assert!(!is_woken(&wakes).await);
            assert_eq!(site.asked().len(), 1);
        }
    });
}
