//! `status`: interfaces, maps and the daemon.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use serde::Serialize;
use spamdrop_common::time::UnixSeconds;

use super::show::local_time;
use super::{daemon, wave};
use spamdrop_core::status::DaemonState;
use spamdrop_core::wave::Wave;

/// The overall status. `status --json` prints one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// Whether the filter is on at least one interface.
    pub attached: bool,
    /// Interfaces that are configured or have the filter.
    pub interfaces: Vec<InterfaceStatus>,
    /// Fill levels of the maps; `null` if nothing is attached.
    pub maps: Option<Maps>,
    /// The ports that the filter protects; empty if nothing is attached.
    pub ports: Vec<u16>,
    /// Sizes of the allowlist.
    pub allowlist: AllowlistSizes,
    /// The current wave, or else the last one; `null`: there was none.
    pub wave: Option<Wave>,
    /// The daemon; `null` if it does not run.
    pub daemon: Option<DaemonStatus>,
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
    /// The name that the interface of the pinned link has now.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Maps {
    /// IPv4 addresses.
    pub v4: Fill,
    /// IPv6 /64s.
    pub v6: Fill,
    /// Prefixes of both families.
    pub prefixes: usize,
}

/// Fill level of a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Fill {
    /// Entries that have not expired.
    pub live: usize,
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

/// Whether less than a fifth of the map is free.
#[must_use]
pub fn is_nearly_full(fill: Fill) -> bool {
    fill.live as u64 * 5 >= u64::from(fill.capacity) * 4
}

/// Writes the status at `now`, with times in `zone`.
pub fn text(
    out: &mut impl Write,
    status: &Status,
    zone: &TimeZone,
    now: UnixSeconds,
) -> io::Result<()> {
    for interface in &status.interfaces {
        line(out, &interface.name, &describe_place(interface))?;
    }
    if let Some(maps) = status.maps {
        line(out, "IPv4", &fill(maps.v4, "capacity4"))?;
        line(out, "IPv6", &fill(maps.v6, "capacity6"))?;
        line(out, "prefixes", &maps.prefixes.to_string())?;
        let ports: Vec<String> = status.ports.iter().map(u16::to_string).collect();
        line(out, "ports", &ports.join(", "))?;
    }
    let AllowlistSizes {
        path,
        file,
        automatic,
    } = &status.allowlist;
    let path = path.display();
    let allowed = format!("{file} in {path}, {automatic} automatic");
    line(out, "allowlist", &allowed)?;
    if let Some(wave) = &status.wave {
        line(out, "wave", &wave::line(wave, zone))?;
    }
    let Some(DaemonStatus {
        pid,
        state,
        unreadable,
    }) = &status.daemon
    else {
        return line(out, "daemon", "not running; start it with `spamdrop run`");
    };
    let Some(state) = state else {
        let reason = unreadable.as_deref().unwrap_or("it has no state yet");
        return line(out, "daemon", &format!("running (pid {pid}); {reason}"));
    };
    let since = local_time(UnixSeconds::new(state.since_unix_s), zone);
    line(out, "daemon", &format!("running (pid {pid}) since {since}"))?;
    let age = now.get().abs_diff(state.written_unix_s);
    daemon::text(out, state, Duration::from_secs(age))
}

pub(super) fn describe_place(interface: &InterfaceStatus) -> String {
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
            "not attached: a spamdrop filter whose pins are hidden or gone is there{id}; {} removes it",
            interface.remedy.as_deref().unwrap_or_default()
        ),
    };
    match &interface.renamed {
        Some(name) => format!("{text}; its filter is on {name} now"),
        None => text,
    }
}

fn fill(fill: Fill, key: &str) -> String {
    let Fill { live, capacity } = fill;
    let percent = live as u64 * 100 / u64::from(capacity.max(1));
    let warning = if is_nearly_full(fill) {
        format!("; warning: nearly full, raise `{key}`")
    } else {
        String::new()
    };
    format!("{live} of {capacity} entries, {percent} %{warning}")
}

fn line(out: &mut impl Write, name: &str, value: &str) -> io::Result<()> {
    writeln!(out, "{name:<15}  {value}")
}

#[cfg(test)]
pub(super) mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::render::json;

    pub(in crate::render) fn interface(
        name: &str,
        state: FilterPlace,
        program_id: Option<u32>,
    ) -> InterfaceStatus {
        InterfaceStatus {
            name: name.into(),
            state,
            program_id,
            renamed: None,
            remedy: None,
        }
    }

    pub(in crate::render) fn status() -> Status {
        let fill = |live, capacity| Fill { live, capacity };
        Status {
            attached: true,
            interfaces: vec![
                interface("eth0", FilterPlace::Native, Some(42)),
                interface("eth1", FilterPlace::Generic, Some(42)),
                interface("eth2", FilterPlace::Missing, None),
                interface("eth3", FilterPlace::Foreign, Some(7)),
                interface("eth4", FilterPlace::Absent, None),
            ],
            maps: Some(Maps {
                v4: fill(800, 1000),
                v6: fill(799, 1000),
                prefixes: 2,
            }),
            ports: vec![25, 587],
            allowlist: AllowlistSizes {
                path: "/etc/spamdrop/allow".into(),
                file: 4,
                automatic: 7,
            },
            wave: None,
            daemon: None,
        }
    }

    fn shown(status: &Status, now: u64) -> String {
        let mut out = Vec::new();
        text(&mut out, status, &TimeZone::UTC, UnixSeconds::new(now)).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_says_where_the_filter_is_and_where_not() {
        assert_eq!(
            shown(&status(), 0),
            "\
eth0             attached, native (program 42)
eth1             attached, generic: slower than native (program 42)
eth2             not attached
eth3             not attached: another XDP program is there (program 7)
eth4             not attached: there is no such interface
IPv4             800 of 1000 entries, 80 %; warning: nearly full, raise `capacity4`
IPv6             799 of 1000 entries, 79 %
prefixes         2
ports            25, 587
allowlist        4 in /etc/spamdrop/allow, 7 automatic
daemon           not running; start it with `spamdrop run`
"
        );
    }

    #[test]
    fn text_shows_the_daemon() {
        let mut status = status();
        status.interfaces.clear();
        status.maps = None;
        status.daemon = Some(DaemonStatus {
            pid: 99,
            state: None,
            unreadable: None,
        });
        let silent = shown(&status, 0);
        assert!(silent.ends_with("daemon           running (pid 99); it has no state yet\n"));
        let state = daemon::tests::state();
        let now = state.written_unix_s + 6;
        status.daemon = Some(DaemonStatus {
            pid: 99,
            state: Some(state),
            unreadable: None,
        });
        let told = shown(&status, now);
        assert!(
            told.starts_with(
                "\
allowlist        4 in /etc/spamdrop/allow, 7 automatic
daemon           running (pid 99) since 2026-11-23 11:00:01 +00:00
  warning: the daemon has not been responding for 6s
  /var/log/mail.log: "
            ),
            "{told}"
        );
    }

    #[test]
    fn text_names_the_wave() {
        let mut status = status();
        status.wave = Some(Wave {
            start_unix_s: 1_795_392_000,
            length_s: 63.0,
            ..Wave::default()
        });
        let text = shown(&status, 0);
        let line = "\nwave             last one at 2026-11-23 00:00:00 +00:00, for 1m 3s: ";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn json() {
        let mut status = status();
        status.interfaces.truncate(1);
        status.daemon = Some(DaemonStatus {
            pid: 99,
            state: None,
            unreadable: None,
        });
        let mut out = Vec::new();
        json::object(&mut out, &status).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"{"attached":true,"interfaces":[{"name":"eth0","state":"native","program_id":42}],"maps":{"v4":{"live":800,"capacity":1000},"v6":{"live":799,"capacity":1000},"prefixes":2},"ports":[25,587],"allowlist":{"path":"/etc/spamdrop/allow","file":4,"automatic":7},"wave":null,"daemon":{"pid":99,"state":null}}
"#
        );
    }
}
