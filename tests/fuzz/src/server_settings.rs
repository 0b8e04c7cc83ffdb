//! Properties of the settings of any mail server.

use std::net::IpAddr;

use spamdrop::dnsbl::question::in_zone;
use spamdrop_core::log::MailServer;
use spamdrop_core::server_settings::{ServerSettings, SlotSetting};
use spamdrop_core::zones::{Queried, Zones};

/// Checks the settings that were read from the text.
pub(crate) fn check(settings: &ServerSettings, server: MailServer, text: &str) {
    assert_eq!(settings.server, server);
    assert!(!matches!(
        settings.slots,
        SlotSetting::Known { count: 0, .. }
    ));
    let addrs = [
        IpAddr::from([192, 0, 2, 9]),
        IpAddr::from([0x2001, 0xdb8, 1, 2, 3, 4, 5, 6]),
    ];
    let rules = settings.rules.len();
    let is_named = text.contains("rbl") || text.contains("dnswl") || text.contains("dns");
    assert!(rules == 0 || is_named, "{settings:?}");
    for rule in &settings.rules {
        assert!(
            addrs
                .iter()
                .all(|addr| in_zone(*addr, &rule.zone).is_some()),
            "{rule:?}"
        );
    }
    for table in &settings.tables {
        // If the server has no zones, its table exempts clients from the zones of
        // spamdrop's configuration.
        let is_used = table.first < table.end || rules == 0;
        assert!(is_used && table.end <= rules, "{table:?}");
    }
    assert!(settings.rules.is_sorted_by_key(|rule| rule.list));
    let zones = Zones::with_tables(settings.rules.clone(), settings.tables.clone());
    for addr in addrs {
        if let Queried::Zones(skipped) = zones.queried(addr) {
            assert_eq!(skipped.len(), rules);
        }
    }
    // The daemon reads the settings that root has written as JSON.
    let json = serde_json::to_string(settings).expect("settings have a JSON form");
    let again: ServerSettings = serde_json::from_str(&json).expect("it is read again");
    assert_eq!(again, *settings);
}
