//! A million addresses: import, export and list.

use std::fmt::Write as _;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::maps::MapData;
use spamdrop::config::Config;
use spamdrop::kernel::blocklist::pins;
use spamdrop_common::names::{BLOCKED4, RECENT_DROPS4};
use spamdrop_lab::Host;

use super::{MANY, Spamdrop, addresses, printed, time, words, write};
use crate::packets::{capacity, say};
use crate::sample::Sample;
use crate::table::{Bar, Case, Unit};

const LIST: &str = "/run/list";
/// Number of addresses in each command `add element` of nft.
const NFT_CHUNK: usize = 1 << 16;

/// The measured times, in seconds.
#[derive(Default)]
struct Times {
    import: Sample,
    restore: Sample,
    nft: Sample,
    export: Sample,
    save: Sample,
    list: Sample,
    json: Sample,
    nft_list: Sample,
}

/// Measures import, export and list beside ipset and nft, and the bytes per
/// entry.
///
/// # Errors
///
/// A command fails or has a wrong result.
pub fn measure(rounds: usize, quick: bool) -> Result<Vec<Case>> {
    say("lists of a million");
    let spamdrop = Spamdrop::new(capacity(MANY))?;
    let (ipset, nft) = (Host::new("ipset")?, Host::new("nft")?);
    prepare(&spamdrop.host, &ipset, &nft)?;
    let mut times = Times::default();
    let mut bytes = Sample::default();
    for round in 0..rounds {
        bytes.0.push(subject(&spamdrop, &mut times)?);
        with_ipset(&ipset, &mut times)?;
        if !quick {
            // nft takes half a minute to list the set, so it does so in the
            // first round only.
            with_nft(&nft, &mut times, round == 0)?;
        }
    }
    let mut cases = times.cases();
    cases.push(
        Case::new("an IPv4 entry", Unit::BytesPerEntry, "spamdrop", bytes)
            .with_bar(Bar::AtMost(120.0)),
    );
    Ok(cases)
}

fn prepare(spamdrop: &Host, ipset: &Host, nft: &Host) -> Result<()> {
    let room = capacity(MANY);
    let mut list = String::new();
    // The text has the format of `ipset save`, with the final size of the hash.
    let mut restore =
        format!("create listed hash:ip family inet hashsize 524288 maxelem {room} timeout 600\n");
    let mut rules = format!(
        "table inet bench {{\nset listed {{\ntype ipv4_addr\nflags timeout,dynamic\n\
         size {room}\ntimeout 10m\n}}\n}}\n"
    );
    let addrs: Vec<String> = addresses(MANY).map(|addr| addr.to_string()).collect();
    for addr in &addrs {
        writeln!(list, "{addr}")?;
        writeln!(restore, "add listed {addr}")?;
    }
    for chunk in addrs.chunks(NFT_CHUNK) {
        let elements = chunk.join(",");
        writeln!(rules, "add element inet bench listed {{ {elements} }}")?;
    }
    for (host, text) in [(spamdrop, list), (ipset, restore), (nft, rules)] {
        write(host, LIST, text)?;
    }
    Ok(())
}

/// Runs one round of spamdrop. Returns the kernel's memory per entry, in bytes.
fn subject(spamdrop: &Spamdrop, times: &mut Times) -> Result<f64> {
    let all = MANY as usize;
    spamdrop.time(&["attach", "eth0"])?;
    let bytes = bytes_an_entry(&spamdrop.host)?;
    push(&mut times.import, spamdrop.time(&["import", LIST])?);
    let done = printed(&spamdrop.host, "imported 1000000 entries\n")?;
    ensure!(done == 1, "spamdrop has not imported {MANY} entries");
    for (args, sample, lines) in [
        (&["export"][..], &mut times.export, all),
        (&["list"], &mut times.list, all + 2),
        (&["list", "--json"], &mut times.json, all + 2),
    ] {
        push(sample, spamdrop.time(args)?);
        let printed = printed(&spamdrop.host, "\n")?;
        ensure!(printed == lines, "{args:?} printed {printed} lines");
    }
    spamdrop.time(&["detach"])?;
    Ok(bytes)
}

fn with_ipset(host: &Host, times: &mut Times) -> Result<()> {
    push(
        &mut times.restore,
        time(host, words("ipset restore -file /run/list"))?,
    );
    push(&mut times.save, time(host, words("ipset save listed"))?);
    let saved = printed(host, "add listed ")?;
    ensure!(saved == MANY as usize, "ipset saved {saved} addresses");
    time(host, words("ipset destroy listed"))?;
    Ok(())
}

fn with_nft(host: &Host, times: &mut Times, lists: bool) -> Result<()> {
    push(&mut times.nft, time(host, words("nft -f /run/list"))?);
    if lists {
        push(
            &mut times.nft_list,
            time(host, words("nft list set inet bench listed"))?,
        );
        let listed = printed(host, " expires ")?;
        ensure!(listed == MANY as usize, "nft listed {listed} addresses");
    }
    time(host, words("nft delete table inet bench"))?;
    Ok(())
}

/// Determines the memory of the maps of IPv4 addresses as reported by the kernel, in
/// bytes per entry. The result is rounded to tenths, because a map takes some hundred
/// bytes besides its elements.
fn bytes_an_entry(host: &Host) -> Result<f64> {
    let memory = |name| number(&map_info(host, name)?, "memlock:");
    let bytes = memory(BLOCKED4)? + memory(RECENT_DROPS4)?;
    let entries = number(&map_info(host, BLOCKED4)?, "max_entries:")?;
    Ok((bytes / entries * 10.0).round() / 10.0)
}

/// The kernel's description of a pinned map.
fn map_info(host: &Host, name: &'static str) -> Result<String> {
    host.run(move || {
        let map = MapData::from_pin(pins::maps_dir(&Config::default().pin_dir).join(name))?;
        let path = format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd());
        Ok(fs::read_to_string(path)?)
    })
}

fn number(info: &str, name: &str) -> Result<f64> {
    let line = info.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.trim().parse().ok());
    number.with_context(|| format!("no {name} in {info}"))
}

fn push(sample: &mut Sample, time: Duration) {
    sample.0.push(time.as_secs_f64());
}

impl Times {
    fn cases(self) -> Vec<Case> {
        const SECOND: Bar = Bar::AtMost(1.0);
        // spamdrop's time has to be at most a fifth of the peer's.
        const FIFTH: Option<Bar> = Some(Bar::AtMost(0.2));
        let case = |name: &str, sample| {
            Case::new(name, Unit::Milliseconds, "spamdrop", sample).with_bar(SECOND)
        };
        let mut import = case("import 1,000,000", self.import);
        import.beside("ipset restore", self.restore, FIFTH);
        let mut list = case("list 1,000,000", self.list);
        let nft = "slower than ipset, so not in a quick run";
        if self.nft.0.is_empty() {
            import.without("nft -f", nft, FIFTH);
            list.without(
                "nft list set",
                "takes half a minute, so not in a quick run",
                None,
            );
        } else {
            import.beside("nft -f", self.nft, FIFTH);
            list.also("nft list set, once", self.nft_list, None);
        }
        let mut export = case("export 1,000,000", self.export);
        export.beside("ipset save", self.save, None);
        vec![
            import,
            export,
            list,
            case("list --json 1,000,000", self.json),
        ]
    }
}
