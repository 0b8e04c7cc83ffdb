//! Recognises generic host names: names that an access provider generates from
//! the addresses of its customers' lines.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::nat64::canonical;

/// Words that providers use in the names of customer lines. A word is a whole
/// run of letters: `pool` does not match in `poolside`.
const WORDS: [&str; 25] = [
    "broadband",
    "cable",
    "cablemodem",
    "catv",
    "cgnat",
    "client",
    "cpe",
    "cust",
    "customer",
    "dhcp",
    "dial",
    "dialin",
    "dialup",
    "dyn",
    "dynamic",
    "dynip",
    "ftth",
    "gprs",
    "lte",
    "nat",
    "pool",
    "ppp",
    "pppoe",
    "user",
    "wifi",
];

/// Words in the names of mail servers. Large mail providers number the machines of
/// their pools by the address: `a8-31.smtp-out.amazonses.com`.
const SERVER_WORDS: [&str; 7] = ["mout", "mta", "mx", "out", "outbound", "relay", "sender"];
/// Beginnings of further words in the names of mail servers.
const SERVER_PREFIXES: [&str; 2] = ["mail", "smtp"];

/// Whether the name looks like that of a customer's line: it has a number and a
/// word such as `dhcp` before the last two labels, which belong to the owner; or
/// it contains the address and no word of a mail server. A name of a single
/// label is generic, too.
#[must_use]
pub fn is_generic(name: &str, addr: IpAddr) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let labels: Vec<&str> = name.split('.').collect();
    let Some(hosts) = labels.len().checked_sub(2) else {
        return true;
    };
    let host = labels.get(..hosts).unwrap_or_default().join(".");
    let has_digit = host.bytes().any(|byte| byte.is_ascii_digit());
    let spells = match canonical(addr) {
        IpAddr::V4(addr) => spells4(&name, addr),
        IpAddr::V6(addr) => spells6(&name, addr),
    };
    spells && !words(&name).any(is_server) || has_digit && words(&host).any(is_line)
}

fn words(host: &str) -> impl Iterator<Item = &str> {
    host.split(|letter: char| !letter.is_ascii_alphabetic())
}

/// Whether the word, or its singular, denotes a customer line. Every word that
/// ends in `dsl` does.
fn is_line(word: &str) -> bool {
    let singular = word.strip_suffix('s').unwrap_or(word);
    WORDS.contains(&word) || WORDS.contains(&singular) || word.ends_with("dsl")
}

fn is_server(word: &str) -> bool {
    SERVER_WORDS.contains(&word) || SERVER_PREFIXES.iter().any(|it| word.starts_with(it))
}

/// Whether the name contains the address: its four numbers side by side in any
/// order, its last two numbers side by side, or all its octets as twelve
/// decimal or eight hexadecimal digits.
fn spells4(name: &str, addr: Ipv4Addr) -> bool {
    let octets = addr.octets();
    let numbers: Vec<u32> = runs(name, |letter| letter.is_ascii_digit())
        .filter_map(|run| run.parse().ok())
        .collect();
    let [a, b, c, d] = octets.map(u32::from);
    let mut sorted = [a, b, c, d];
    sorted.sort_unstable();
    let all = numbers.windows(4).any(|window| {
        let mut window = window.to_vec();
        window.sort_unstable();
        window == sorted
    });
    // Two small numbers are no evidence: the name `mx1-2` may just number a
    // server.
    let tell = c.max(d) > 9;
    let half = tell && has_either(&numbers, &[c, d]);
    let reversed: Vec<u8> = octets.iter().rev().copied().collect();
    let spelt = |form: fn(&u8) -> String| {
        let text = |octets: &[u8]| octets.iter().map(form).collect::<String>();
        name.contains(&text(&octets)) || name.contains(&text(&reversed))
    };
    all || half || spelt(|octet| format!("{octet:03}")) || spelt(|octet| format!("{octet:02x}"))
}

/// Whether the name contains the address: its last four groups in sequence, or
/// the nibbles of the address or of its second half, with or without `-` and
/// `.` between them. The groups and the nibbles of the whole address also match
/// in reverse order.
fn spells6(name: &str, addr: Ipv6Addr) -> bool {
    let [.., e, f, g, h] = addr.segments().map(u32::from);
    let groups: Vec<u32> = runs(name, |letter| letter.is_ascii_hexdigit())
        .filter_map(|run| u32::from_str_radix(run, 16).ok())
        .collect();
    let nibbles = addr
        .octets()
        .iter()
        .map(|octet| format!("{octet:02x}"))
        .collect::<String>();
    let backwards: String = nibbles.chars().rev().collect();
    let bare: String = name
        .chars()
        .filter(|letter| !matches!(letter, '-' | '.'))
        .collect();
    // The second half identifies a host within its network, but not if only its last
    // group is set, as in `::25`.
    let half = nibbles.get(16..).unwrap_or_default();
    let is_own = (e, f, g) != (0, 0, 0);
    bare.contains(&nibbles)
        || bare.contains(&backwards)
        || is_own && (bare.contains(half) || has_either(&groups, &[e, f, g, h]))
}

/// Whether the numbers appear next to each other, forwards or backwards.
fn has_either(numbers: &[u32], row: &[u32]) -> bool {
    numbers
        .windows(row.len())
        .any(|window| window == row || window.iter().rev().eq(row))
}

fn runs(name: &str, belongs: fn(char) -> bool) -> impl Iterator<Item = &str> {
    name.split(move |letter| !belongs(letter))
        .filter(|run| !run.is_empty())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    const ADDR: &str = "203.0.113.87";
    const ADDR6: &str = "2001:db8:1:2:a00:27ff:fe4e:66a1";

    fn generic(name: &str, addr: &str) -> bool {
        is_generic(name, addr.parse().unwrap())
    }

    #[test]
    fn names_made_from_an_ipv4_address() {
        for name in [
            "203-0-113-87.provider.example",
            "203.0.113.87.provider.example",
            "87.113.0.203.provider.example",
            "87-113-0-203.dsl.provider.example",
            "host87-113-0-203.serverdedicati.example",
            "ip-203-0-113-87.eu-west-1.compute.example",
            "ec2-203-0-113-87.compute-1.cloud.example",
            "static.87.113.0.203.clients.your-server.example",
            "p5dcb-203000113087.dip0.example",
            "cpe-087113000203.provider.example",
            "pcb007157.dip0.t-isp.example.cb007157.net.example",
            "x-57-71-00-cb.577100cb.rev.example",
            "a113-87.adsl.provider.example",
            "h87-113.provider.example",
            "113-0-87-203.provider.example",
            "113.87.mobile.provider.example",
            "dhcp-14.provider.example",
            "dsl-189-1.prod-infinitum.example.mx",
            "pool-12.customers.provider.example",
            "user3.pools.provider.example",
            "vdsl12.provider.co.example",
            "ppp4711.provider.example",
            "dyn7.lan.provider.example",
            "7.cable.provider.example",
            "localhost",
            "provider",
        ] {
            assert!(generic(name, ADDR), "{name}");
        }
    }

    #[test]
    fn names_of_servers() {
        for name in [
            "mail.example.org",
            "mx1.example.org",
            "mx1-2.example.org",
            "mx113.example.org",
            "mail-wr1-f87.google.example",
            "mail-eopbgr80087.outbound.protection.outlook.example",
            "smtp87.provider.example",
            "mta-113-2.sparkpost.example",
            "o1.ptr1234.sendgrid.example",
            "a8-31.smtp-out.amazonses.example",
            "sonic315-21.consmr.mail.yahoo.example",
            "vps12345.provider.example",
            "dynamo.mail.example.org",
            "poolside7.example.org",
            "mail.dyn.example",
            "pool.ntp.example",
            "mail2.dynamic.example",
            "Mail.Example.ORG.",
            "example.org",
            "adslmail.example",
        ] {
            assert!(!generic(name, ADDR), "{name}");
        }
        // A pair of small numbers is not taken for an address.
        assert!(!generic("h1-2.example.org", "192.0.1.2"));
        assert!(generic("h1-20.example.org", "192.0.1.20"));
    }

    /// Names in the pools of large mail providers, each with its own address.
    #[test]
    fn names_of_pools_that_are_numbered_by_address() {
        for (name, addr) in [
            ("a8-31.smtp-out.amazonses.com", "54.240.8.31"),
            (
                "e226-10.smtp-out.ap-southeast-1.amazonses.com",
                "23.251.226.10",
            ),
            ("mail132-15.atl131.mandrillapp.com", "198.2.132.15"),
            ("m228-12.mailgun.net", "159.135.228.12"),
            ("66-220-155-149.mail-mail.facebook.com", "66.220.155.149"),
            (
                "mail-eopbgr10051.outbound.protection.outlook.com",
                "40.107.1.51",
            ),
            ("mail-wr1-f45.google.com", "209.85.221.45"),
            ("mail-wr1-x42b.google.com", "2a00:1450:4864:20::42b"),
            ("sonic306-21.consmr.mail.ne1.yahoo.com", "66.163.189.83"),
            ("qs51p00im-qukt01071701.me.com", "17.58.63.176"),
            ("ck125.d.sender-sib.com", "185.41.28.125"),
            ("out-22.smtp.github.com", "192.30.252.205"),
            ("mta-113-87.provider.example", ADDR),
            ("relay203-0-113-87.provider.example", ADDR),
            ("fe4e-66a1.smtpout.provider.example", ADDR6),
        ] {
            assert!(!generic(name, addr), "{name}");
        }
        // These are generic: they have a word of customer lines, or the address and no
        // word of a mail server.
        for name in [
            "mail-113-87.dynamic.provider.example",
            "203-0-113-87.outer.provider.example",
            "smtp7.dsl.provider.example",
        ] {
            assert!(generic(name, ADDR), "{name}");
        }
    }

    #[test]
    fn names_made_from_an_ipv6_address() {
        for name in [
            "2001-db8-1-2-a00-27ff-fe4e-66a1.provider.example",
            "20010db8000100020a0027fffe4e66a1.provider.example",
            "20010db8-00010002-0a0027ff-fe4e66a1.provider.example",
            "1.a.6.6.e.4.e.f.f.f.7.2.0.0.a.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.provider.example",
            "h0a0027fffe4e66a1.provider.example",
            "fe4e-66a1-dhcp.provider.example",
        ] {
            assert!(generic(name, ADDR6), "{name}");
        }
        for name in ["mail.example.org", "mx-a00.example.org", "fe80.example.org"] {
            assert!(!generic(name, ADDR6), "{name}");
        }
        assert!(!generic("mx0-0-0-25.example.org", "2001:db8::25"));
    }
}
