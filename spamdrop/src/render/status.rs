//! `status`: interfaces, maps and the daemon.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Error;
use jiff::tz::TimeZone;
use serde::{Serialize, Serializer};
use spamdrop_common::time::UnixSeconds;

use super::show::local_time;
use super::{daemon, json, wave};
use spamdrop_core::health::{self, DaemonHealth, Health, HealthFacts, HealthReport};
use spamdrop_core::pause::PausedLayer;
use spamdrop_core::status::{DaemonState, FRESH};
use spamdrop_core::wave::Wave;

const NO_STATE: &str = "it has no state yet";

/// The overall status. `status --json` prints one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// How well the mail server is protected, and what impairs that.
    #[serde(flatten)]
    pub report: HealthReport,
    /// Whether the filter is on at least one interface.
    pub attached: bool,
    /// Interfaces that are configured or have the filter.
    pub interfaces: Vec<InterfaceStatus>,
    /// Fill levels of the maps; `null` if nothing is attached.
    pub maps: Option<Maps>,
    /// The layers that are paused by hand.
    #[serde(serialize_with = "paused_layers")]
    pub paused: Vec<PausedLayer>,
    /// The ports that the filter protects; empty if nothing is attached.
    pub ports: Vec<u16>,
    /// Sizes of the allowlist.
    pub allowlist: AllowlistSizes,
    /// The current wave, or else the last one; `null`: there was none.
    pub wave: Option<Wave>,
    /// The daemon; `null` if it does not run.
    pub daemon: Option<DaemonStatus>,
}

#[derive(Serialize)]
struct PausedLayerJson {
    layer: &'static str,
    #[serde(serialize_with = "json::seconds")]
    remaining_s: Duration,
}

fn paused_layers<S: Serializer>(paused: &[PausedLayer], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(paused.iter().map(|paused| PausedLayerJson {
        layer: paused.layer.name(),
        remaining_s: paused.remaining,
    }))
}

/// The state of an interface.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Where the filter runs on it, if at all.
    pub state: FilterPlace,
    /// The id of the XDP program on it, as bpftool shows it; `null`: none.
    pub program_id: Option<u32>,
    /// The new name of the interface to which the filter was attached under `name`;
    /// absent: the interface was not renamed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub renamed: Option<String>,
    /// How to remove a hidden filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Where the filter runs on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FilterPlace {
    /// In the driver.
    Native,
    /// In the generic hook.
    Generic,
    /// The interface is configured, but does not have the filter.
    Missing,
    /// The interface has another XDP program.
    Foreign,
    /// The interface has a spamdrop filter whose pins are hidden or gone.
    Hidden,
    /// The interface does not exist.
    Absent,
}

/// Fill levels of the maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Maps {
    /// IPv4 addresses.
    pub v4: Fill,
    /// IPv6 /64s.
    pub v6: Fill,
    /// IPv6 addresses without their /64.
    pub v6_addresses: Fill,
    /// Prefixes of both families.
    pub prefixes: usize,
    /// Entries of all kinds that the allowlist covers; absent if there are none.
    #[serde(skip_serializing_if = "is_zero")]
    pub without_effect: usize,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// Fill level of a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fill {
    /// Entries that have not expired.
    pub live: usize,
    /// Number of live entries that are open.
    pub open: usize,
    /// Capacity of the map.
    pub capacity: u32,
}

/// The sizes of the allowlist.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AllowlistSizes {
    /// The path of the administrator's file.
    pub path: PathBuf,
    /// Prefixes in the file.
    pub file: usize,
    /// Prefixes that are allowed automatically: own addresses, gateways, …
    pub automatic: usize,
    /// Why the file cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

/// A running daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DaemonStatus {
    /// Its process id.
    pub pid: u32,
    /// The last state that it wrote; `null` if none can be read.
    pub state: Option<DaemonState>,
    /// Why the state cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
}

impl Status {
    /// The state of the daemon; `None` if it does not run or does not respond.
    #[must_use]
    pub fn responding(&self, now: UnixSeconds) -> Option<&DaemonState> {
        let state = self.daemon.as_ref()?.state.as_ref()?;
        (age(state, now) <= FRESH).then_some(state)
    }

    /// Judges the health at `now`, from the other fields.
    #[must_use]
    pub fn judge(&self, now: UnixSeconds) -> HealthReport {
        let is_filtered = |interface: &&InterfaceStatus| interface.state.is_filtered();
        let (filtered, unfiltered): (Vec<_>, Vec<_>) =
            self.interfaces.iter().partition(is_filtered);
        let filtered: Vec<String> = filtered.iter().map(|it| it.name.clone()).collect();
        let unfiltered: Vec<String> = unfiltered
            .iter()
            .map(|it| format!("{}: {}", it.name, on(it)))
            .collect();
        health::judge(HealthFacts {
            filtered: &filtered,
            unfiltered: &unfiltered,
            allowlist: self.allowlist.unreadable.as_deref(),
            ports: &self.ports,
            blocked: self.maps.map_or(0, |maps| maps.blocked()),
            paused: &self.paused,
            daemon: match &self.daemon {
                None => DaemonHealth::Stopped,
                Some(DaemonStatus {
                    state: Some(state), ..
                }) => DaemonHealth::Running(state, age(state, now)),
                Some(DaemonStatus { unreadable, .. }) => {
                    DaemonHealth::Unreadable(unreadable.as_deref().unwrap_or(NO_STATE))
                }
            },
        })
    }
}

/// How long ago the daemon wrote its state.
fn age(state: &DaemonState, now: UnixSeconds) -> Duration {
    now.elapsed_since(UnixSeconds::new(state.written_unix_s))
}

impl FilterPlace {
    /// Whether the filter runs on the interface.
    #[must_use]
    pub fn is_filtered(self) -> bool {
        matches!(self, Self::Native | Self::Generic)
    }
}

impl Maps {
    /// The number of live entries.
    #[must_use]
    pub fn all(self) -> usize {
        self.v4.live + self.v6.live + self.v6_addresses.live + self.prefixes
    }

    /// The number of addresses and prefixes whose packets are dropped.
    fn blocked(self) -> usize {
        self.all().saturating_sub(self.without_effect)
    }
}

/// Writes the line of a monitoring plugin, and returns its exit code.
pub fn check(out: &mut impl Write, status: Result<&Status, &Error>) -> io::Result<u8> {
    let status = match status {
        Ok(status) => status,
        Err(error) => {
            // The first line is all that a monitoring system shows.
            let error = format!("{error:#}").replace(['\n', '|'], " ");
            writeln!(out, "SPAMDROP UNKNOWN: {error}")?;
            return Ok(3);
        }
    };
    let report = &status.report;
    let (word, code) = match report.health {
        Health::Protected => ("OK", 0),
        Health::Degraded => ("WARNING", 1),
        Health::Unprotected => ("CRITICAL", 2),
    };
    let line = report.to_string().replace(['\n', '|'], " ");
    write!(out, "SPAMDROP {word}: {line}")?;
    if let Some(maps) = status.maps {
        let figure = |fill: Fill| format!("{};;;0;{}", fill.live, fill.capacity);
        write!(
            out,
            " | blocked4={} blocked6={} blocked6_addr={} prefixes={};;;0",
            figure(maps.v4),
            figure(maps.v6),
            figure(maps.v6_addresses),
            maps.prefixes
        )?;
    }
    writeln!(out)?;
    Ok(code)
}

/// Whether at most a fifth of the map is free.
#[must_use]
pub fn is_nearly_full(fill: Fill) -> bool {
    fill.live as u64 * 5 >= u64::from(fill.capacity) * 4
}

/// Writes the status at `now`, with times in `zone`.
pub fn write_text(
    out: &mut impl Write,
    status: &Status,
    zone: &TimeZone,
    now: UnixSeconds,
) -> io::Result<()> {
    writeln!(out, "{}", status.report)?;
    for interface in &status.interfaces {
        write_line(out, &interface.name, &on(interface))?;
    }
    if let Some(maps) = status.maps {
        write_line(out, "IPv4", &fill(maps.v4, "capacity4"))?;
        write_line(out, "IPv6", &fill(maps.v6, "capacity6"))?;
        if maps.v6_addresses.live > 0 {
            let addresses = fill(maps.v6_addresses, "capacity6");
            write_line(out, "IPv6 addresses", &addresses)?;
        }
        write_line(out, "prefixes", &maps.prefixes.to_string())?;
        let ports: Vec<String> = status.ports.iter().map(u16::to_string).collect();
        write_line(out, "ports", &ports.join(", "))?;
    }
    let AllowlistSizes {
        path,
        file,
        automatic,
        unreadable,
    } = &status.allowlist;
    let allowed = match unreadable {
        None => format!("{file} in {}, {automatic} automatic", path.display()),
        Some(reason) => format!("{automatic} automatic; {reason}"),
    };
    write_line(out, "allowlist", &allowed)?;
    if let Some(wave) = &status.wave {
        write_line(out, "wave", &wave::format_line(wave, zone))?;
    }
    let Some(DaemonStatus {
        pid,
        state,
        unreadable,
    }) = &status.daemon
    else {
        return write_line(out, "daemon", "not running; start it with `spamdrop run`");
    };
    let Some(state) = state else {
        let reason = unreadable.as_deref().unwrap_or(NO_STATE);
        return write_line(out, "daemon", &format!("running (pid {pid}); {reason}"));
    };
    let since = local_time(UnixSeconds::new(state.since_unix_s), zone);
    write_line(out, "daemon", &format!("running (pid {pid}) since {since}"))?;
    let age = now.get().abs_diff(state.written_unix_s);
    daemon::write_text(out, state, Duration::from_secs(age))
}

fn on(interface: &InterfaceStatus) -> String {
    let id = interface
        .program_id
        .map_or_else(String::new, |id| format!(" (program {id})"));
    let text = match interface.state {
        FilterPlace::Native => format!("attached, native{id}"),
        FilterPlace::Generic => format!("attached, generic: slower than native{id}"),
        FilterPlace::Missing => "not attached".into(),
        FilterPlace::Foreign => format!("not attached: another XDP program is there{id}"),
        FilterPlace::Absent => "not attached: there is no such interface".into(),
        FilterPlace::Hidden => format!(
            "not attached: a spamdrop filter whose pins are hidden or gone is there{id}; `{}` removes it",
            interface.remedy.as_deref().unwrap_or_default()
        ),
    };
    match &interface.renamed {
        Some(name) => format!("{text}; its filter is on {name} now"),
        None => text,
    }
}

fn fill(fill: Fill, key: &str) -> String {
    let Fill { live, capacity, .. } = fill;
    let percent = live as u64 * 100 / u64::from(capacity.max(1));
    let warning = if is_nearly_full(fill) {
        format!("; warning: nearly full, raise `{key}`")
    } else {
        String::new()
    };
    format!("{live} of {capacity} entries, {percent} %{warning}")
}

fn write_line(out: &mut impl Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "{name:<15}  {value}")
}

#[cfg(test)]
pub(super) mod tests;
