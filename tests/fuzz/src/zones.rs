//! Courier's `BLACKLISTS`: only an option that makes Courier reject can list a
//! source, and every zone can be queried.

use std::net::IpAddr;

use spamdrop::dnsbl::question::in_zone;
use spamdrop_core::courier::esmtpd::EsmtpdSettings;
use spamdrop_core::courier::smtpaccess::Access;
use spamdrop_core::dnsbl::rule::{Effect, RejectionText, Rule};
use spamdrop_core::dnsbl::zone::{Said, said};

/// Takes the bytes as an option, as a zone of the configuration, as Courier's
/// `esmtpd`, and as its `smtpaccess`.
///
/// # Panics
///
/// If a property does not hold.
pub fn check(data: &[u8]) {
    if let Some(rule) = Rule::of_courier(data) {
        check_rule(&rule);
        let is_allow = matches!(rule.effect, Effect::Allow { .. });
        let option: &[u8] = if is_allow { b"-allow=" } else { b"-block=" };
        let value = data.strip_prefix(option).expect("an option");
        assert!(value.starts_with(rule.zone.as_bytes()));
        if let Effect::Reject(_) = rule.effect {
            // Without a text, Courier may not reject.
            assert!(has_text(value), "{rule:?}");
        }
    }
    if let Some(rule) = str::from_utf8(data)
        .ok()
        .and_then(|text| Rule::of_config(text).ok())
    {
        check_rule(&rule);
        assert!(!matches!(rule.effect, Effect::Defer | Effect::Unsure));
    }
    for script in [data, &[b"BLACKLISTS='", data, b"'"].concat()] {
        let split = |text: &[u8]| shlex::bytes::Shlex::new(text).collect();
        let settings = EsmtpdSettings::parse(script, split);
        settings.rules().iter().for_each(check_rule);
    }
    let mut access = Access::default();
    access.add(data);
    for addr in addrs() {
        let _ = access.entry_for(addr);
    }
}

/// Whether a text follows the variable, or follows the zone if the zone
/// includes an answer.
fn has_text(value: &[u8]) -> bool {
    let zone = value.split(|byte| *byte == b',').next().unwrap_or_default();
    let before = if zone.contains(&b'/') { 1 } else { 2 };
    let mut parts = value.splitn(before + 1, |byte| *byte == b',');
    parts.nth(before).is_some_and(|text| !text.is_empty())
}

fn addrs() -> [IpAddr; 2] {
    let v6 = [0x2001, 0xdb8, 1, 2, 3, 4, 5, 6];
    [IpAddr::from([192, 0, 2, 9]), IpAddr::from(v6)]
}

fn check_rule(rule: &Rule) {
    for addr in addrs() {
        assert!(in_zone(addr, &rule.zone).is_some(), "{rule:?}");
        let Said::Yes(text) = said(rule, addr, None) else {
            continue;
        };
        assert!(text.len() <= 200);
        assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
    }
    if let Effect::Reject(RejectionText::Own(text)) = &rule.effect {
        let text = text.trim_ascii_start().as_bytes();
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
        assert!(digits.count() != 3 || text[0] != b'4', "{rule:?}");
    }
}
