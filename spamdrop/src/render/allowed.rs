//! `allow list`: addresses that are never blocked.

use std::fmt::Write as _;
use std::io::{self, Write};

use ipnet::IpNet;
use serde::{Serialize, Serializer};

use super::table::{self, Column, Style, left};

/// An allowed prefix. `allow list --json` prints an array of these, IPv4
/// first, by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Allowed {
    /// The address or prefix: `"192.0.2.1"`, `"2001:db8::/32"`.
    #[serde(rename = "addr", serialize_with = "as_text")]
    pub net: IpNet,
    /// `"file"`: on the administrator's list; otherwise why it is allowed
    /// without being there, such as `"own"` or `"gateway"`.
    pub by: &'static str,
}

const COLUMNS: [Column<Allowed>; 2] = [
    left("ADDRESS", |allowed, text| {
        text.write_str(&shown(allowed.net))
    }),
    left("BY", |allowed, text| text.write_str(allowed.by)),
];

/// Sorts prefixes: IPv4 first, by address.
pub fn sort(allowed: &mut [Allowed]) {
    allowed.sort_by_key(|allowed| allowed.net);
}

/// Writes prefixes as a table.
pub fn text(out: &mut impl Write, style: Style, allowed: &[Allowed]) -> io::Result<()> {
    table::write(out, style, &COLUMNS, allowed)
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
    use crate::render::json;

    fn some() -> Vec<Allowed> {
        let mut all: Vec<Allowed> = [
            ("2001:db8::1/128", "file"),
            ("192.0.2.0/24", "file"),
            ("127.0.0.0/8", "loopback"),
        ]
        .map(|(net, by)| Allowed {
            net: net.parse().unwrap(),
            by,
        })
        .into();
        sort(&mut all);
        all
    }

    #[test]
    fn text_and_json() {
        let mut out = Vec::new();
        text(&mut out, Style::Plain, &some()).unwrap();
        json::array(&mut out, some()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"ADDRESS       BY
127.0.0.0/8   loopback
192.0.2.0/24  file
2001:db8::1   file
[
{"addr":"127.0.0.0/8","by":"loopback"},
{"addr":"192.0.2.0/24","by":"file"},
{"addr":"2001:db8::1","by":"file"}
]
"#
        );
    }
}
