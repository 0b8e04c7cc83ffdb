//! `stats --prometheus`: every figure as a metric.
//!
//! No label holds an address of a sender: each would be a time series of its
//! own, and a botnet has thousands.

mod daemon;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use spamdrop_common::counter::{Counters, Reason};
use spamdrop_common::gate::GateStats;
use spamdrop_common::time::UnixSeconds;
use spamdrop_core::health::Health;
use spamdrop_core::pause::Layer;

use super::exposition::{Metric, MetricValue, counter, gauge, metric};
use super::status::{Fill, FilterPlace, InterfaceStatus, Maps, Status};

const BUILD_INFO: Metric = gauge("spamdrop_build_info", "1; the version is the label.");
const TIMESTAMP: Metric = gauge(
    "spamdrop_metrics_timestamp_seconds",
    "When these metrics were gathered, in seconds since 1970.",
);
const UP: Metric = gauge(
    "spamdrop_up",
    "Whether the daemon runs and responds. While it does not, the metrics that only the daemon knows are left out.",
);
const HEALTH: Metric = gauge(
    "spamdrop_health",
    "0: protecting, 1: degraded, 2: not protecting; as the exit codes of `spamdrop status --check`.",
);
const HEALTH_REASONS: Metric = gauge(
    "spamdrop_health_reasons",
    "Number of problems that impair the protection; `spamdrop status` names them.",
);
const ATTACHED: Metric = gauge(
    "spamdrop_attached",
    "Whether the filter is on the interface, and in which mode (native, generic or none).",
);
const ENTRIES: Metric = gauge(
    "spamdrop_entries",
    "Blocked addresses and prefixes that have not expired. An open entry drops new connections only.",
);
const CAPACITY: Metric = gauge(
    "spamdrop_entries_capacity",
    "Number of entries that fit into the map.",
);
const ALLOWLIST: Metric = gauge(
    "spamdrop_allowlist_prefixes",
    "Prefixes that are never blocked: of the administrator's file, or found by spamdrop.",
);
const PAUSED: Metric = gauge(
    "spamdrop_paused_seconds",
    "How long the layer remains paused by hand; 0: it is not paused.",
);
const PACKETS: Metric = counter(
    "spamdrop_packets_total",
    "Packets by the reason why they were passed or dropped, since the maps were made, and before a reboot, as far as that was saved.",
);
const SYNS: Metric = counter(
    "spamdrop_gate_syns_total",
    "SYNs at the gate. Refused ones have the class of the stranger as a label; class 0 is refused last. In observe mode, refused ones were admitted all the same.",
);
const KNOWN_SYNS: Metric = counter(
    "spamdrop_gate_known_syns_total",
    "Part of the admitted SYNs: of known or allowlisted senders, while strangers had to wait.",
);
const STARVATION_SYNS: Metric = counter(
    "spamdrop_gate_starvation_syns_total",
    "Part of the admitted SYNs: of the strangers that had waited longest.",
);

/// The facts of one moment from which the metrics are made.
#[derive(Clone, Copy, Debug)]
pub struct Figures<'a> {
    /// The status, as `spamdrop status` shows it.
    pub status: &'a Status,
    /// The filter's counters; `None` if nothing is attached.
    pub filter: Option<&'a FilterCounters>,
    /// The wall clock.
    pub now: UnixSeconds,
}

/// The counters of the filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FilterCounters {
    /// Packets by reason, as `spamdrop stats` shows them.
    pub packets: Counters,
    /// SYNs at the gate.
    pub gate: GateStats,
}

/// Writes every metric.
pub fn write_text(out: &mut impl Write, figures: Figures<'_>) -> io::Result<()> {
    let Figures {
        status,
        filter,
        now,
    } = figures;
    let version = MetricValue::new(1).label("version", env!("CARGO_PKG_VERSION"));
    metric(out, BUILD_INFO, [version])?;
    metric(out, TIMESTAMP, [MetricValue::new(now.get())])?;
    let state = status.responding(now);
    metric(out, UP, [MetricValue::flag(state.is_some())])?;
    write_health(out, status)?;
    metric(out, ATTACHED, status.interfaces.iter().map(attached))?;
    if let Some(maps) = status.maps {
        write_entries(out, maps)?;
        metric(out, PAUSED, paused(status))?;
    }
    let allowed = |number: usize, source| count(number).label("source", source);
    let file = allowed(status.allowlist.file, "file");
    let automatic = allowed(status.allowlist.automatic, "automatic");
    metric(out, ALLOWLIST, [file, automatic])?;
    if let Some(filter) = filter {
        write_filter(out, filter)?;
    }
    if let Some(state) = state {
        daemon::write(out, state, status.wave.as_ref())?;
    }
    Ok(())
}

fn count(number: usize) -> MetricValue {
    MetricValue::new(number as u64)
}

fn write_health(out: &mut impl Write, status: &Status) -> io::Result<()> {
    let health = match status.report.health {
        Health::Protected => 0,
        Health::Degraded => 1,
        Health::Unprotected => 2,
    };
    metric(out, HEALTH, [MetricValue::new(health)])?;
    metric(out, HEALTH_REASONS, [count(status.report.reasons.len())])
}

fn attached(interface: &InterfaceStatus) -> MetricValue {
    let mode = match interface.state {
        FilterPlace::Native => "native",
        FilterPlace::Generic => "generic",
        _ => "none",
    };
    MetricValue::flag(interface.state.is_filtered())
        .label("interface", &interface.name)
        .label("mode", mode)
}

fn paused(status: &Status) -> impl Iterator<Item = MetricValue> {
    Layer::ALL.into_iter().map(|layer| {
        let mut paused = status.paused.iter();
        let paused = paused.find(|paused| paused.layer == layer);
        let left = paused.map_or(0, |paused| paused.remaining.as_secs());
        MetricValue::new(left).label("layer", layer.name())
    })
}

fn write_entries(out: &mut impl Write, maps: Maps) -> io::Result<()> {
    let fills = [
        ("ipv4", maps.v4),
        ("ipv6", maps.v6),
        ("ipv6_address", maps.v6_addresses),
    ];
    let entries = |(family, fill): (&'static str, Fill)| {
        let entries = |number, state| count(number).label("family", family).label("state", state);
        let sealed = fill.live.saturating_sub(fill.open);
        [entries(fill.open, "open"), entries(sealed, "sealed")]
    };
    let prefixes = count(maps.prefixes)
        .label("family", "prefix")
        .label("state", "sealed");
    let entries = fills.into_iter().flat_map(entries);
    metric(out, ENTRIES, entries.chain([prefixes]))?;
    let capacity =
        fills.map(|(family, fill)| MetricValue::new(fill.capacity.into()).label("family", family));
    metric(out, CAPACITY, capacity)
}

fn write_filter(out: &mut impl Write, filter: &FilterCounters) -> io::Result<()> {
    let FilterCounters { packets, gate } = filter;
    let reasons = Reason::ALL
        .iter()
        .map(|&reason| MetricValue::new(packets.get(reason)).label("reason", reason.name()));
    metric(out, PACKETS, reasons)?;
    let syns = |number, class: &str, result| {
        MetricValue::new(number)
            .label("class", class)
            .label("result", result)
    };
    let refused = gate.refused.iter().enumerate();
    let refused = refused.map(|(class, &number)| syns(number, &class.to_string(), "refused"));
    // Use the filter's own counter of admitted SYNs. A difference of two counters could
    // fall, because they are not read at the same instant, and a metric that counts must not.
    let admitted = syns(gate.admitted, "all", "admitted");
    metric(out, SYNS, [admitted].into_iter().chain(refused))?;
    metric(out, KNOWN_SYNS, [MetricValue::new(gate.known_or_allowed)])?;
    metric(
        out,
        STARVATION_SYNS,
        [MetricValue::new(gate.starvation_admits)],
    )
}
