//! Compares the output of a command with the documented one.
//!
//! Times of day, and numbers of five digits or more, match any others.
//! Durations may differ by 5 s. Durations and numbers from 100 on may differ by
//! a tenth, because time passes between two commands. `…` stands for anything
//! in a line; as a whole line, for any lines.

use std::sync::LazyLock;

use regex::Regex;

/// Describes the first difference.
pub fn difference(documented: &str, printed: &str) -> Option<String> {
    let mut printed = printed.lines().filter(|line| !line.trim().is_empty());
    let mut documented = documented.lines().filter(|line| !line.trim().is_empty());
    while let Some(expected) = documented.next() {
        if expected == "…" {
            let next = documented.next()?;
            if !printed.any(|line| is_like(next, line)) {
                return Some(format!("prints no line like\n{next}"));
            }
        } else {
            match printed.next() {
                Some(line) if is_like(expected, line) => {}
                Some(line) => return Some(format!("prints\n{line}\nin place of\n{expected}")),
                None => return Some(format!("does not print\n{expected}")),
            }
        }
    }
    printed.next().map(|line| format!("also prints\n{line}"))
}

static VARIABLE: LazyLock<Regex> = LazyLock::new(|| {
    let address = r"(?<address>\d+\.\d+\.\d+\.\d+)";
    let time = r"(?<time>\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d+)?( ?[+-]\d\d:?\d\d|Z)?)?)";
    let duration = format!("(?<duration>{DURATION})");
    Regex::new(&format!(
        "{address}|{time}|{duration}|(?<number>[0-9]+)|(?<any>…)"
    ))
    .unwrap()
});
const TIME: &str = r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d:\d\d(\.\d+)?( ?[+-]\d\d:?\d\d|Z)?)?";
const DURATION: &str = r"\b\d+(d|h|m|s|ms)( \d+(h|m|s|ms))*\b";

fn is_like(documented: &str, printed: &str) -> bool {
    let (documented, printed) = (spaced(documented), spaced(printed));
    let mut pattern = String::from("^");
    let mut values = Vec::new();
    let mut end = 0;
    for found in VARIABLE.captures_iter(&documented) {
        let whole = found.get(0).unwrap();
        pattern += &regex::escape(&documented[end..whole.start()]);
        end = whole.end();
        let kind = |name| found.name(name).is_some();
        if kind("address") {
            pattern += &regex::escape(whole.as_str());
        } else if kind("time") {
            pattern += &TIME.replace('(', "(?:");
        } else if kind("any") {
            pattern += ".*";
        } else {
            pattern += &match kind("duration") {
                true => format!("({})", DURATION.replace('(', "(?:")),
                false => "([0-9]+)".into(),
            };
            values.push((kind("duration"), seconds(whole.as_str())));
        }
    }
    pattern += &regex::escape(&documented[end..]);
    pattern.push('$');
    let Some(found) = Regex::new(&pattern).unwrap().captures(&printed) else {
        return false;
    };
    let mut printed = found.iter().skip(1).flatten();
    values.iter().all(|(is_duration, value)| {
        let slack = if *is_duration { 5.0 } else { 0.0 };
        let printed = printed.next().map(|text| seconds(text.as_str()));
        printed.is_some_and(|printed| is_near(*value, printed, slack))
    })
}

fn spaced(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The value of a number, or of a duration in seconds.
fn seconds(text: &str) -> f64 {
    let part = |part: &str| {
        let digits = part.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
        let unit = match &part[digits.len()..] {
            "d" => 86_400.0,
            "h" => 3_600.0,
            "m" => 60.0,
            "ms" => 0.001,
            _ => 1.0,
        };
        digits.parse::<f64>().unwrap() * unit
    };
    text.split(' ').map(part).sum()
}

/// Whether two values match. A difference up to `slack` is allowed for any
/// size.
fn is_near(documented: f64, printed: f64, slack: f64) -> bool {
    let is_any = documented >= 10_000.0 && printed >= 10_000.0;
    let tenth = if documented < 100.0 {
        0.0
    } else {
        documented / 10.0
    };
    is_any || (documented - printed).abs() <= tenth.max(slack)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_varies_may_vary() {
        for (documented, printed, same) in [
            ("a  b", "a b", true),
            (
                "192.0.2.66 expires 9m 57s",
                "192.0.2.66  expires  9m 59s",
                true,
            ),
            (
                "192.0.2.66 expires 9m 57s",
                "192.0.2.67 expires 9m 57s",
                false,
            ),
            ("expires 9m 57s", "expires 7m 2s", false),
            ("hits 1", "hits 2", false),
            ("limit=3597 log", "limit=3599 log", true),
            ("seen: 4297389796", "seen: 98765432", true),
            (
                "since 2026-11-23 12:32:20 +00:00",
                "since 2027-01-01 00:00:00 +01:00",
                true,
            ),
            ("in … a", "in all of it a", true),
            ("a\n…\nb", "a\nx\ny\nb", true),
            ("a\nb", "a", false),
            ("a", "a\nb", false),
        ] {
            let found = difference(documented, printed);
            assert_eq!(found.is_none(), same, "{documented} / {printed}: {found:?}");
        }
    }
}
