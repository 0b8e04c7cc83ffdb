//! Checks that each configured zone answers as a blocklist should (RFC 5782,
//! section 5).

use std::time::Duration;

use anyhow::Result;

use crate::config::Config;
use crate::dnsbl::Resolver;
use crate::dnsbl::inquiry::{ask_zone, test_zone};
use crate::dnsbl::join_all;
use spamdrop_core::dnsbl::key::mask;
use spamdrop_core::dnsbl::question::TEST_LISTED;
use spamdrop_core::dnsbl::reply_text::own_code;
use spamdrop_core::dnsbl::rule::{Effect, RejectionText, Rule};
use spamdrop_core::dnsbl::zone::Said;
use spamdrop_core::dnsbl::zone_test::{ZoneState, test_rule};
use spamdrop_core::log::MailServer;
use spamdrop_core::warning::Warning;

/// Maximum time for each query.
const WAIT: Duration = Duration::from_secs(2);

/// Warnings about the zones. Unless `offline`, all zones are queried at once.
///
/// # Errors
///
/// A file of the mail server cannot be read.
pub async fn warnings(config: &Config, offline: bool) -> Result<Vec<Warning>> {
    let zones = config.asked_zones()?;
    let mut warnings = Vec::new();
    if !zones.can_list() {
        warnings.push(warning(
            "no DNS blocklist is known whose listing makes the mail server reject for certain, so no sender counts as listed; name one in `zones`".into(),
        ));
    }
    if offline || zones.rules().is_empty() {
        return Ok(warnings);
    }
    // `checks/settings.rs` warns if `resolv_conf` cannot be read.
    let Ok(resolver) = Resolver::read(&config.resolv_conf) else {
        return Ok(warnings);
    };
    let is_courier = config.servers.contains(&MailServer::Courier);
    let rules = zones.rules().iter();
    let checks = rules.map(|rule| check(&resolver, rule, is_courier));
    let found = join_all(checks).await;
    warnings.extend(found.into_iter().flatten().map(warning));
    Ok(warnings)
}

fn warning(text: String) -> Warning {
    Warning {
        about: "zones",
        text,
    }
}

async fn check(resolver: &Resolver, rule: &Rule, is_courier: bool) -> Option<String> {
    let bare = test_rule(rule);
    let [listed, unlisted] = test_zone(resolver, &bare, WAIT).await;
    match ZoneState::from_replies(&bare, &listed, &unlisted) {
        ZoneState::Broken(text) | ZoneState::Refuses(text) | ZoneState::Untested(text) => {
            Some(text)
        }
        ZoneState::Works if is_courier && rule.effect == Effect::Reject(RejectionText::Record) => {
            let text = coded(resolver, rule).await?;
            Some(format!("{} {text}", mask(&rule.zone)))
        }
        ZoneState::Works | ZoneState::Pending => None,
    }
}

/// Warns if the zone's text begins with a reply code, which Courier then sends in place
/// of 511. In Courier's log, only a 511 can be distinguished from other refusals.
async fn coded(resolver: &Resolver, rule: &Rule) -> Option<String> {
    let rule = Rule {
        only: None,
        ..rule.clone()
    };
    let reply = ask_zone(resolver, &rule, TEST_LISTED.into(), WAIT).await;
    let Said::Yes(text) = reply.said else {
        return None;
    };
    let (code, _) = own_code(&text).filter(|(code, _)| *code != 511)?;
    Some(format!(
        "begins its text with {code}, so Courier sends that code instead of 511, and rejections by this zone block nobody; in BLACKLISTS, replace the * of this zone with a text without a code"
    ))
}
