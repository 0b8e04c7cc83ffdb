//! `lookup`: what the blocklists say of addresses.

use std::io::Write;
use std::net::IpAddr;

use anyhow::{Context as _, Result};
use spamdrop_common::gate::Standing;
use tokio::runtime;

use crate::cli;
use crate::config::Config;
use crate::dnsbl::Resolver;
use crate::dnsbl::inquiry::{Findings, HostName, inquire};
use crate::exit::{Exit, Failure};
use crate::render::json;
use crate::render::lookup::{self, Finding, LookedUp, Name, State, Zone};
use spamdrop_core::dnsbl::decision::Outcome;
use spamdrop_core::dnsbl::refusal::Refusals;
use spamdrop_core::dnsbl::rule::Rule;
use spamdrop_core::dnsbl::zone::{Reply, Said};
use spamdrop_core::escape::escape;

/// Runs the verb: one address after the other, each within a few seconds.
///
/// # Errors
///
/// A word is no address ([`Exit::Usage`]), or a file of the mail server's or
/// the resolver's cannot be read; or of one of the addresses nothing could be
/// learned ([`Exit::Failed`]), after all are shown.
pub fn run(config: &Config, args: &cli::Lookup, out: &mut impl Write) -> Result<()> {
    let addrs = args.addrs.iter().map(|word| address(word));
    let addrs = addrs.collect::<Result<Vec<IpAddr>>>()?;
    let zones = config.asked_zones()?;
    let resolver = Resolver::read(&config.resolv_conf)?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start to look up")?;
    if zones.rules().is_empty() {
        log::warn!("no zone is configured, so only names are looked up; see `zones`");
    }
    let mut looked_up = Vec::new();
    for addr in addrs {
        let findings = runtime.block_on(inquire(&zones, &resolver, &Refusals::default(), addr));
        looked_up.push(view(addr, zones.rules(), &findings));
    }
    match args.output.json {
        true => json::array(out, &looked_up)?,
        false => lookup::text(out, &looked_up)?,
    }
    let unknown = looked_up.iter().find(|one| one.standing.is_none());
    match unknown {
        None => Ok(()),
        Some(LookedUp { addr, .. }) => {
            let message = format!("there is no verdict on {addr}");
            Err(Failure::new(Exit::Failed, message))
        }
    }
}

fn address(word: &str) -> Result<IpAddr> {
    let addr = word.parse::<IpAddr>().map(|addr| addr.to_canonical());
    addr.map_err(|_| {
        let message = format!("`{word}` is not an address; give one such as 192.0.2.1");
        Failure::new(Exit::Usage, message)
    })
}

fn view(addr: IpAddr, rules: &[Rule], findings: &Findings) -> LookedUp {
    let zones = rules.iter().zip(&findings.replies);
    let by = match findings.decision.outcome {
        Outcome::Listed(index) => rules.get(index).map(|rule| rule.zone.clone()),
        Outcome::Unlisted | Outcome::Unknown => None,
    };
    LookedUp {
        addr,
        standing: findings.standing().map(state),
        by,
        text: findings.text().map(Into::into),
        ttl_s: findings.decision.ttl.as_secs(),
        zones: zones.map(|(rule, reply)| zone(rule, reply)).collect(),
        name: findings.name.as_ref().map(name),
    }
}

fn state(standing: Standing) -> State {
    match standing {
        Standing::Listed => State::Listed,
        Standing::Unlisted => State::Unlisted,
        Standing::Unnamed => State::Unnamed,
        Standing::Confirmed => State::Confirmed,
    }
}

fn zone(rule: &Rule, reply: &Reply) -> Zone {
    let (finding, remark) = match &reply.said {
        Said::No => (Finding::Absent, None),
        Said::Yes(text) => (Finding::Present, Some(text.clone())),
        Said::Defer => (Finding::Present, Some("its text defers".into())),
        Said::Nothing(trouble) => (Finding::Failed, Some(trouble.to_string())),
    };
    Zone {
        zone: rule.zone.clone(),
        effect: (&rule.effect).into(),
        finding,
        addresses: reply.addresses.clone(),
        remark,
    }
}

fn name(name: &HostName) -> Name {
    let (name, remark) = match name {
        HostName::Confirmed(name) => (Some(name), "confirmed".into()),
        HostName::Generic(name) => (Some(name), "confirmed, but generic".into()),
        HostName::Unconfirmed(name) => (Some(name), "does not lead back".into()),
        HostName::Absent => (None, "none".into()),
        HostName::Failed(failure) => (None, failure.to_string()),
    };
    Name {
        name: name.map(|name| escape(name.as_bytes())),
        remark,
    }
}
