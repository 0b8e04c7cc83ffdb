//! The text format of Prometheus, version 0.0.4: comments that describe a
//! metric, then one line for each of its values.

use std::io::{self, Write};

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// A number that only grows, until its source starts anew. The name ends in
    /// `_total`.
    Counter,
    /// A number that rises and falls.
    Gauge,
}

/// A metric without its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    name: &'static str,
    kind: MetricKind,
    help: &'static str,
}

/// Describes a counter.
#[must_use]
pub const fn counter(name: &'static str, help: &'static str) -> Metric {
    let kind = MetricKind::Counter;
    Metric { name, kind, help }
}

/// Describes a gauge.
#[must_use]
pub const fn gauge(name: &'static str, help: &'static str) -> Metric {
    let kind = MetricKind::Gauge;
    Metric { name, kind, help }
}

/// A value and its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricValue {
    labels: Vec<(&'static str, String)>,
    value: u64,
}

impl MetricValue {
    /// A value without labels.
    #[must_use]
    pub fn new(value: u64) -> Self {
        let labels = Vec::new();
        Self { labels, value }
    }

    /// 1 for "yes", 0 for "no".
    #[must_use]
    pub fn flag(is_set: bool) -> Self {
        Self::new(is_set.into())
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.labels.push((name, value.into()));
        self
    }
}

/// Writes a metric with its values; nothing if it has none.
pub fn metric(
    out: &mut impl Write,
    metric: Metric,
    values: impl IntoIterator<Item = MetricValue>,
) -> io::Result<()> {
    let Metric { name, kind, help } = metric;
    let mut values = values.into_iter().peekable();
    if values.peek().is_none() {
        return Ok(());
    }
    let kind = match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
    };
    let help = help.replace('\\', r"\\").replace('\n', r"\n");
    writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
    values.try_for_each(|value| write_value(out, name, &value))
}

fn write_value(out: &mut impl Write, name: &str, value: &MetricValue) -> io::Result<()> {
    let MetricValue { labels, value } = value;
    let labels = labels
        .iter()
        .map(|(label, text)| format!("{label}=\"{}\"", escaped(text)));
    let labels: Vec<String> = labels.collect();
    if labels.is_empty() {
        return writeln!(out, "{name} {value}");
    }
    writeln!(out, "{name}{{{}}} {value}", labels.join(","))
}

fn escaped(text: &str) -> String {
    text.replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    fn written(described: Metric, values: Vec<MetricValue>) -> String {
        let mut out = Vec::new();
        metric(&mut out, described, values).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_metric_is_described_once_before_its_values() {
        let values = vec![
            MetricValue::new(u64::MAX).label("a", "x").label("b", "y"),
            MetricValue::flag(true).label("a", "z").label("b", ""),
        ];
        assert_eq!(
            written(counter("n_total", "What it counts."), values),
            "# HELP n_total What it counts.\n# TYPE n_total counter\n\
             n_total{a=\"x\",b=\"y\"} 18446744073709551615\nn_total{a=\"z\",b=\"\"} 1\n"
        );
        assert_eq!(
            written(gauge("n", "Help."), vec![MetricValue::flag(false)]),
            "# HELP n Help.\n# TYPE n gauge\nn 0\n"
        );
    }

    #[test]
    fn a_metric_without_values_is_left_out() {
        assert_eq!(written(gauge("n", "Help."), Vec::new()), "");
    }

    #[test]
    fn text_cannot_leave_its_place() {
        let value = MetricValue::new(1).label("path", "a\\b\"} 9\nc");
        assert_eq!(
            written(gauge("n", "one\\\ntwo"), vec![value]),
            "# HELP n one\\\\\\ntwo\n# TYPE n gauge\nn{path=\"a\\\\b\\\"} 9\\nc\"} 1\n"
        );
    }
}
