//! The alternatives: netfilter's lists and xdp-filter, each at its fastest
//! hook.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};
use spamdrop_lab::Host;

use super::capacity;
use super::lane::Drops;
use super::sink::Sink;
use super::traffic::Sources;

/// Number of addresses in each command `add element` of nft.
const NFT_CHUNK: usize = 1 << 16;

/// Adds a rule with which xt_recent drops every packet of a listed source (the rule of
/// 2009), but in PREROUTING: before the routing decision, it is faster than in INPUT.
///
/// # Errors
///
/// A command failed.
pub fn xt_recent(sink: &Sink, sources: Sources) -> Result<Drops> {
    let host = &sink.host;
    iptables(
        host,
        "-A PREROUTING -p tcp --dport 25 -m recent --name listed --update --seconds 600 -j DROP",
    )?;
    host.run(move || {
        for addr in sources.each() {
            let path = "/proc/thread-self/net/xt_recent/listed";
            fs::write(path, format!("+{addr}")).with_context(|| format!("cannot write {path}"))?;
        }
        anyhow::Ok(())
    })?;
    Ok(Box::new(|host: &Host| iptables_drops(host, "PREROUTING")))
}

/// Adds an nftables set of the sources, whose timeouts are refreshed by packets, with a
/// rule at the earliest hook of nftables (ingress).
///
/// # Errors
///
/// A command failed.
pub fn nft(sink: &Sink, sources: Sources) -> Result<Drops> {
    let mut rules = format!(
        "table netdev bench {{\n\
         set listed {{ type ipv4_addr; flags timeout,dynamic; size {}; timeout 10m; }}\n\
         chain ingress {{\n\
         type filter hook ingress device \"{}\" priority 0; policy accept;\n\
         tcp dport 25 ip saddr @listed update @listed {{ ip saddr timeout 10m }} counter drop\n\
         }}\n}}\n",
        capacity(sources.number()),
        sink.interface,
    );
    let addrs: Vec<_> = sources.each().map(|addr| addr.to_string()).collect();
    for chunk in addrs.chunks(NFT_CHUNK) {
        let elements = chunk.join(",");
        writeln!(rules, "add element netdev bench listed {{ {elements} }}")?;
    }
    read_by(&sink.host, &["nft", "-f"], rules)?;
    Ok(Box::new(|host: &Host| {
        // `-t` omits the elements, but nft 1.0 reads the whole set for any
        // smaller listing.
        let rules = host.exec(["nft", "-t", "list", "ruleset"])?;
        number_after(&rules, "counter packets ")
    }))
}

/// Adds a set whose timeouts are refreshed by a rule, so that they slide as in
/// the other lists.
///
/// # Errors
///
/// A command failed.
pub fn ipset(sink: &Sink, sources: Sources) -> Result<Drops> {
    let host = &sink.host;
    let room = capacity(sources.number());
    let mut commands = format!("create listed hash:ip timeout 600 maxelem {room}\n");
    for addr in sources.each() {
        writeln!(commands, "add listed {addr}")?;
    }
    read_by(host, &["ipset", "restore", "-file"], commands)?;
    for rule in [
        "-N listed",
        "-A listed -j SET --add-set listed src --exist --timeout 600",
        "-A listed -j DROP",
        "-A PREROUTING -p tcp --dport 25 -m set --match-set listed src -j listed",
    ] {
        iptables(host, rule)?;
    }
    Ok(Box::new(|host: &Host| iptables_drops(host, "listed")))
}

/// Adds a list whose entries do not expire and are for all ports, because xdp-filter
/// supports no other entries of addresses.
///
/// # Errors
///
/// A command failed.
pub fn xdp_filter(sink: &Sink, sources: Sources) -> Result<Drops> {
    let host = &sink.host;
    let name = sink.interface;
    host.exec([
        "xdp-filter",
        "load",
        name,
        "--mode=native",
        "--features=ipv4",
    ])?;
    for addr in sources.each() {
        host.exec(["xdp-filter", "ip", "--mode=src", &addr.to_string()])?;
    }
    Ok(Box::new(|host: &Host| {
        number_after(&host.exec(["xdp-filter", "status"])?, "XDP_DROP")
    }))
}

fn iptables(host: &Host, rule: &str) -> Result<String> {
    let raw = ["iptables-legacy", "-w", "-t", "raw"];
    host.exec(raw.into_iter().chain(rule.split(' ')))
}

/// Reads the packet counter of a chain's DROP rule.
fn iptables_drops(host: &Host, chain: &str) -> Result<u64> {
    let rules = iptables(host, &format!("-v -n -x -L {chain}"))?;
    let words = rules.lines().map(|line| line.split_whitespace());
    let mut counts = words.filter_map(|mut words| {
        let packets = words.next()?.parse().ok()?;
        (words.nth(1)? == "DROP").then_some(packets)
    });
    counts.next().context("iptables shows no DROP rule")
}

/// Writes `text` to a file, and runs `command` with the file's path as its last argument.
fn read_by(host: &Host, command: &[&str], text: String) -> Result<()> {
    const PATH: &str = "/run/bench-list";
    host.run(move || fs::write(PATH, text).with_context(|| format!("cannot write {PATH}")))?;
    host.exec(command.iter().chain(&[PATH]))?;
    host.run(move || fs::remove_file(PATH))?;
    Ok(())
}

fn number_after(text: &str, label: &str) -> Result<u64> {
    let after = text.split_once(label).map(|(_, after)| after);
    let word = after.and_then(|text| text.split_whitespace().next());
    word.and_then(|word| word.parse().ok())
        .with_context(|| format!("no number after `{label}` in:\n{text}"))
}
