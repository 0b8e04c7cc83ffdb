//! The metrics that only the daemon knows. Its counters begin at 0 when it
//! starts.

use std::io::{self, Write};

use spamdrop_core::status::{
    ActiveGateMode, DaemonState, FifoState, GateState, ResponderState, SourceState, ZoneFigures,
};
use spamdrop_core::wave::Wave;

use crate::render::exposition::{Metric, MetricValue, counter, gauge, metric};

const START: Metric = gauge(
    "spamdrop_start_time_seconds",
    "When the daemon started, in seconds since 1970.",
);
const CEILING: Metric = gauge(
    "spamdrop_blocking_paused",
    "Whether blocking pauses by itself: a blocklist seems to have gone wrong, or max_new_per_minute is exceeded.",
);
const WARNINGS: Metric = gauge(
    "spamdrop_warnings",
    "Number of current warnings of `spamdrop status`.",
);
const WAVE: Metric = gauge("spamdrop_wave", "Whether a wave is going on.");
const READING: Metric = gauge("spamdrop_tail_reading", "Whether the log is read.");
const SILENT: Metric = gauge(
    "spamdrop_tail_silent",
    "Whether no line has come for longer than usual.",
);
const LAG: Metric = gauge(
    "spamdrop_tail_lag_bytes",
    "Bytes of the log that are not read yet.",
);
const LINES: Metric = counter("spamdrop_tail_lines_total", "Lines that were read.");
const SKIPPED: Metric = counter(
    "spamdrop_tail_skipped_lines_total",
    "Lines that were skipped: too long, or not from syslog.",
);
const EVENTS: Metric = counter(
    "spamdrop_events_total",
    "Events of the logs, by the decision about them.",
);
const NEAR_MISSES: Metric = counter(
    "spamdrop_near_misses_total",
    "Lines that look like rejections and were not understood.",
);
const PENDING: Metric = gauge(
    "spamdrop_pending_releases",
    "Blocked addresses that may still hold connections.",
);
const RELEASED: Metric = counter(
    "spamdrop_released_connections_total",
    "Connections of blocked peers that were ended.",
);
const REFUSES: Metric = gauge(
    "spamdrop_gate_on",
    "Whether the gate refuses SYNs; 0: it observes.",
);
const OPEN: Metric = gauge(
    "spamdrop_gate_open_connections",
    "Connections that the mail server holds.",
);
const SLOTS: Metric = gauge(
    "spamdrop_gate_slots",
    "Connections that the mail server can serve; 0: unknown.",
);
const KNOWN: Metric = gauge(
    "spamdrop_known_senders",
    "Known senders in the filter's map.",
);
const FULL: Metric = counter(
    "spamdrop_gate_full_samples_total",
    "Samples of the connections, five a second, in which all slots were in use.",
);
const ANSWERING: Metric = gauge(
    "spamdrop_responder_connections",
    "Current connections of the responder.",
);
const ANSWERED: Metric = counter(
    "spamdrop_responder_recipients_total",
    "Recipients that the responder rejected.",
);
const LIMITED: Metric = counter(
    "spamdrop_responder_limited_connections_total",
    "Connections that the responder ended because of a limit.",
);
const LOST_LINES: Metric = counter(
    "spamdrop_responder_lost_log_lines_total",
    "Log lines of the responder that did not reach syslog.",
);
const FIFO: Metric = counter(
    "spamdrop_fifo_commands_total",
    "Commands of the FIFO by their result.",
);
const LOOKUPS: Metric = counter(
    "spamdrop_lookups_total",
    "Look-ups of senders by zone and answer; not those of the mail server.",
);
const BROKEN: Metric = gauge(
    "spamdrop_zone_broken",
    "Whether the zone lists everybody or refuses to serve.",
);
const TESTED: Metric = gauge(
    "spamdrop_zone_tested",
    "Whether the zone has passed its last test (RFC 5782).",
);

pub(super) fn write(
    out: &mut impl Write,
    state: &DaemonState,
    wave: Option<&Wave>,
) -> io::Result<()> {
    metric(out, START, [MetricValue::new(state.since_unix_s)])?;
    metric(out, CEILING, [MetricValue::flag(state.ceiling.is_some())])?;
    metric(
        out,
        WARNINGS,
        [MetricValue::new(state.warnings.len() as u64)],
    )?;
    let is_ongoing = wave.is_some_and(|wave| wave.ongoing);
    metric(out, WAVE, [MetricValue::flag(is_ongoing)])?;
    write_sources(out, &state.sources)?;
    let events = state.events.iter();
    let events = events.map(|(name, &number)| MetricValue::new(number).label("decision", name));
    metric(out, EVENTS, events)?;
    let misses = state.near_misses.iter();
    let misses = misses.map(|(name, &number)| MetricValue::new(number).label("reason", name));
    metric(out, NEAR_MISSES, misses)?;
    metric(out, PENDING, [MetricValue::new(state.pending_releases)])?;
    metric(out, RELEASED, [MetricValue::new(state.released)])?;
    write_zones(out, &state.zones)?;
    state
        .gate
        .iter()
        .try_for_each(|gate| write_gate(out, gate))?;
    let mut responder = state.responder.iter();
    responder.try_for_each(|responder| write_responder(out, responder))?;
    state.fifo.iter().try_for_each(|fifo| write_fifo(out, fifo))
}

fn write_sources(out: &mut impl Write, sources: &[SourceState]) -> io::Result<()> {
    let of = |source: &SourceState, value: MetricValue| {
        value.label("source", source.path.display().to_string())
    };
    let each = |figure: fn(&SourceState) -> u64| {
        let values = sources.iter();
        values.map(move |source| of(source, MetricValue::new(figure(source))))
    };
    metric(out, READING, each(|source| source.is_read().into()))?;
    metric(out, SILENT, each(|source| source.silent.into()))?;
    metric(out, LAG, each(|source| source.lag_bytes))?;
    metric(out, LINES, each(|source| source.lines))?;
    let skipped = sources.iter().flat_map(|source| {
        let skipped = |number, reason| of(source, MetricValue::new(number)).label("reason", reason);
        [
            skipped(source.overlong, "overlong"),
            skipped(source.unfit, "unfit"),
        ]
    });
    metric(out, SKIPPED, skipped)
}

fn write_zones(out: &mut impl Write, zones: &[ZoneFigures]) -> io::Result<()> {
    let answers = zones.iter().flat_map(|zone| {
        let answer = |number, result| {
            MetricValue::new(number)
                .label("zone", &zone.zone)
                .label("result", result)
        };
        [
            answer(zone.listed, "listed"),
            answer(zone.unlisted, "unlisted"),
            answer(zone.failed, "failed"),
        ]
    });
    metric(out, LOOKUPS, answers)?;
    let are = |states: &'static [&'static str]| {
        zones.iter().map(move |zone| {
            let is_one = states.contains(&zone.state.as_str());
            MetricValue::flag(is_one).label("zone", &zone.zone)
        })
    };
    metric(out, BROKEN, are(&["broken", "refuses"]))?;
    metric(out, TESTED, are(&["works"]))
}

fn write_gate(out: &mut impl Write, gate: &GateState) -> io::Result<()> {
    let is_on = gate.mode == ActiveGateMode::On;
    metric(out, REFUSES, [MetricValue::flag(is_on)])?;
    metric(out, OPEN, [MetricValue::new(gate.open.into())])?;
    metric(out, SLOTS, [MetricValue::new(gate.slots.into())])?;
    metric(out, KNOWN, [MetricValue::new(gate.known)])?;
    metric(out, FULL, [MetricValue::new(gate.full)])
}

fn write_responder(out: &mut impl Write, responder: &ResponderState) -> io::Result<()> {
    let connections = MetricValue::new(responder.connections as u64);
    metric(out, ANSWERING, [connections])?;
    metric(out, ANSWERED, [MetricValue::new(responder.answered)])?;
    metric(out, LIMITED, [MetricValue::new(responder.limited)])?;
    metric(out, LOST_LINES, [MetricValue::new(responder.lost_lines)])
}

fn write_fifo(out: &mut impl Write, fifo: &FifoState) -> io::Result<()> {
    let results = [
        ("added", fifo.added),
        ("removed", fifo.removed),
        ("flushed", fifo.flushed),
        ("protected", fifo.protected),
        ("malformed", fifo.malformed),
        ("failed", fifo.failed),
    ];
    let results = results.map(|(result, number)| MetricValue::new(number).label("result", result));
    metric(out, FIFO, results)
}
