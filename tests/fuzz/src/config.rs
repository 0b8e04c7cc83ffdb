//! A configuration: if it is accepted, its values are in the ranges that the
//! documentation gives.

use std::time::Duration;

use spamdrop::config::{Compat, Config, RefreshMode, Seal};
use spamdrop_core::release::ReleaseMode;
use spamdrop_core::term::LONGEST;

/// Takes the bytes as a configuration, if they are text.
///
/// # Panics
///
/// If a property does not hold.
pub fn check(data: &[u8]) {
    let Some(config) = str::from_utf8(data)
        .ok()
        .and_then(|text| Config::parse(text).ok())
    else {
        return;
    };
    assert!((1..=8).contains(&config.ports.len()) && !config.ports.contains(&0));
    for (term, least) in [(config.ttl, 1), (config.hard_limit, 0)] {
        assert!(term.subsec_nanos() == 0 && term.as_secs() >= least && term <= LONGEST);
    }
    assert_eq!(u64::from(config.ttl_s()), config.ttl.as_secs());
    assert_eq!(
        u64::from(config.hard_limit_s()),
        config.hard_limit.as_secs()
    );
    assert!(config.grace <= Duration::from_secs(3600));
    for capacity in [config.capacity4, config.capacity6] {
        assert!(capacity.is_power_of_two() && (1024..=1 << 24).contains(&capacity));
    }
    assert!(!config.courier_program().is_empty());
    assert!(config.policy().is_ok());
    if config.compat == Compat::Recent {
        assert_eq!(
            (config.seal, config.release),
            (Seal::AtOnce, ReleaseMode::Off)
        );
        assert_eq!(config.refresh, RefreshMode::Packet);
        assert!(config.hard_limit.is_zero());
    }
    let ports = config.settings().ports;
    assert_eq!(ports[..config.ports.len()], config.ports[..]);
    assert!(ports[config.ports.len()..].iter().all(|port| *port == 0));
}
