//! `allow list` and `allow check`: addresses that are never blocked.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use super::json;
use super::table::{self, Column, Style, left};
use spamdrop_core::allowlist::AllowItem;
use spamdrop_core::duration::human;
use spamdrop_core::escape::escape;
use spamdrop_core::time::UnixSeconds;

/// An allowed prefix. `allow list --json` prints an array of these, IPv4
/// first, by address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Allowed {
    /// The address or prefix: `"192.0.2.1"`, `"2001:db8::/32"`.
    #[serde(rename = "addr", serialize_with = "as_text")]
    pub net: IpNet,
    /// `"file"`: on the administrator's list. `"own"`, `"gateway"` and others: why
    /// it is protected automatically. `"filter"`: only the filter's allowlist has it,
    /// for instance because its end passed while no daemon ran.
    pub by: &'static str,
    /// Its end, in seconds since 1970; absent: it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_unix_s: Option<u64>,
    /// `expires_in_s`: seconds until its end; absent: it has none.
    #[serde(
        rename = "expires_in_s",
        serialize_with = "json::optional_seconds",
        skip_serializing_if = "Option::is_none"
    )]
    pub expires_in: Option<Duration>,
    /// The comment in the file; absent: none. Bytes other than printable ASCII are
    /// `\xNN`, a backslash is `\\`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// Whether a prefix is allowed: the object that `allow check --json` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AllowCheckResult {
    /// The address or prefix.
    pub addr: String,
    /// Whether all of it is allowed and, if there is a filter, `in_filter` is true.
    #[serde(rename = "allowed")]
    pub is_allowed: bool,
    /// The prefixes that allow it, as in `allow list --json`, the longest first.
    pub by: Vec<Allowed>,
    /// Whether the filter lets it pass; `null`: there is no filter.
    #[serde(rename = "in_filter")]
    pub is_in_filter: Option<bool>,
}

impl Allowed {
    /// A prefix without an end or a comment.
    #[must_use]
    pub fn without_end(net: IpNet, by: &'static str) -> Self {
        Self {
            net,
            by,
            until_unix_s: None,
            expires_in: None,
            comment: None,
        }
    }

    /// An entry of the file.
    #[must_use]
    pub fn by_file(item: AllowItem<'_>, now: UnixSeconds) -> Self {
        let end = item.end.time();
        Self {
            until_unix_s: end.map(UnixSeconds::get),
            expires_in: end.map(|end| end.elapsed_since(now)),
            comment: comment(item.comment),
            ..Self::without_end(item.net, "file")
        }
    }
}

/// A comment, escaped for display; `None` if it is empty.
#[must_use]
pub fn comment(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| escape(text.as_bytes()))
}

const OWN: [Column<Allowed>; 3] = [
    left("ADDRESS", |allowed, text| {
        text.write_str(&shown(allowed.net))
    }),
    left("EXPIRES", |allowed, text| match allowed.expires_in {
        Some(time) => write!(text, "{}", human(time)),
        None => text.write_str("-"),
    }),
    left("COMMENT", |allowed, text| {
        text.write_str(allowed.comment.as_deref().unwrap_or_default())
    }),
];
const AUTOMATIC: [Column<Allowed>; 2] = [
    left("PROTECTED", |allowed, text| {
        text.write_str(&shown(allowed.net))
    }),
    left("BY", |allowed, text| text.write_str(allowed.by)),
];

/// Sorts prefixes: IPv4 first, by address.
pub fn sort(allowed: &mut [Allowed]) {
    allowed.sort_by_key(|allowed| allowed.net);
}

/// Writes a table of the administrator's prefixes, and below it one of the prefixes
/// that are allowed for another reason.
pub fn write_text(out: &mut impl Write, style: Style, allowed: &[Allowed]) -> io::Result<()> {
    let is_own = |allowed: &Allowed| allowed.by == "file";
    let all = allowed.iter().cloned();
    let (own, automatic): (Vec<Allowed>, Vec<Allowed>) = all.partition(is_own);
    table::write(out, style, &OWN, &own)?;
    if !automatic.is_empty() {
        writeln!(out)?;
        table::write(out, style, &AUTOMATIC, &automatic)?;
    }
    Ok(())
}

/// Writes a line for each prefix that allows an address.
pub fn check_text(out: &mut impl Write, result: &AllowCheckResult) -> io::Result<()> {
    for allowed in &result.by {
        let list = match allowed.by {
            "file" => "on the allowlist".into(),
            "filter" => format!(
                "which only the filter has; `spamdrop allow remove {}` removes it there",
                shown(allowed.net)
            ),
            by => format!("protected automatically ({by})"),
        };
        let time = allowed.expires_in;
        let time = time.map(|time| format!(" for another {}", human(time)));
        let comment = allowed.comment.as_ref();
        let comment = comment.map(|comment| format!(": {comment}"));
        let (time, comment) = (time.unwrap_or_default(), comment.unwrap_or_default());
        let net = shown(allowed.net);
        writeln!(
            out,
            "{} is allowed by {net}, {list}{time}{comment}",
            result.addr
        )?;
    }
    Ok(())
}

/// Formats a prefix; a single address has no length.
#[must_use]
pub fn shown(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() {
        net.addr().to_string()
    } else {
        net.to_string()
    }
}

pub(super) fn as_text<S: Serializer>(net: &IpNet, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&shown(*net))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use spamdrop_core::allowlist::AllowEnd;

    const NOW: UnixSeconds = UnixSeconds::new(1_796_083_200);

    fn of_file(net: &str, days: Option<u64>, comment: &str) -> Allowed {
        let end = days.map(|days| NOW.plus(Duration::from_secs(days * 86_400)));
        let item = AllowItem {
            net: net.parse().unwrap(),
            end: end.map_or(AllowEnd::Never, AllowEnd::At),
            comment,
        };
        Allowed::by_file(item, NOW)
    }

    fn some() -> Vec<Allowed> {
        let loopback = "127.0.0.0/8".parse().unwrap();
        let mut all = vec![
            of_file("2001:db8::1/128", None, ""),
            of_file("192.0.2.0/24", Some(7), "backup \u{1b}MX"),
            Allowed::without_end(loopback, "loopback"),
        ];
        sort(&mut all);
        all
    }

    fn written(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn own_entries_stand_apart_and_json_is_one_array() {
        assert_eq!(
            written(|out| write_text(out, Style::Plain, &some())),
            r"ADDRESS       EXPIRES  COMMENT
192.0.2.0/24  7d       backup \x1bMX
2001:db8::1   -

PROTECTED    BY
127.0.0.0/8  loopback
"
        );
        assert_eq!(
            written(|out| json::array(out, some())),
            r#"[
{"addr":"127.0.0.0/8","by":"loopback"},
{"addr":"192.0.2.0/24","by":"file","until_unix_s":1796688000,"expires_in_s":604800.0,"comment":"backup \\x1bMX"},
{"addr":"2001:db8::1","by":"file"}
]
"#
        );
    }

    #[test]
    fn a_check_names_each_reason() {
        let mut result = AllowCheckResult {
            addr: "192.0.2.1".into(),
            is_allowed: true,
            by: vec![
                of_file("192.0.2.1/32", None, ""),
                of_file("192.0.2.0/24", Some(2), "office"),
                Allowed::without_end("192.0.0.0/16".parse().unwrap(), "gateway"),
                Allowed::without_end("192.0.0.0/8".parse().unwrap(), "filter"),
            ],
            is_in_filter: Some(true),
        };
        assert_eq!(
            written(|out| check_text(out, &result)),
            "\
192.0.2.1 is allowed by 192.0.2.1, on the allowlist
192.0.2.1 is allowed by 192.0.2.0/24, on the allowlist for another 2d: office
192.0.2.1 is allowed by 192.0.0.0/16, protected automatically (gateway)
192.0.2.1 is allowed by 192.0.0.0/8, which only the filter has; `spamdrop allow remove 192.0.0.0/8` removes it there
"
        );
        result.by.clear();
        result.is_allowed = false;
        assert_eq!(written(|out| check_text(out, &result)), "");
    }
}
