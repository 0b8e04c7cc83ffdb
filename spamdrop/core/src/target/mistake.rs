//! Describes the mistake in a text that is no address or prefix.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

const GIVE_ONE: &str = "give one such as 192.0.2.1, 2001:db8::1 or 192.0.2.0/24";

/// Quotes the text, describes the mistake, and gives the next step.
pub(super) fn describe(text: &str) -> String {
    let (said, step) = kind(text).unwrap_or_else(|| ("is not an address", GIVE_ONE.to_owned()));
    format!("`{text}` {said}; {step}")
}

type Mistake = (&'static str, String);

fn kind(text: &str) -> Option<Mistake> {
    let kinds = [
        several, brackets, port, zone, netmask, star, range, length, short, name,
    ];
    kinds.into_iter().find_map(|kind| kind(text))
}

/// `192.0.2.1,192.0.2.2`, `192.0.2.1;192.0.2.2`
fn several(text: &str) -> Option<Mistake> {
    let (first, rest) = text.split_once([',', ';'])?;
    let said = match text.contains(',') {
        true => "has a comma",
        false => "has a semicolon",
    };
    let is_separator = |c: char| [',', ';', ' '].contains(&c);
    let all: Vec<&str> = std::iter::once(first)
        .chain(rest.split(is_separator))
        .filter(|word| !word.is_empty())
        .collect();
    Some((
        said,
        format!("separate addresses by blanks: {}", all.join(" ")),
    ))
}

/// `[2001:db8::1]`
fn brackets(text: &str) -> Option<Mistake> {
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    let inner = inner.strip_prefix("IPv6:").unwrap_or(inner);
    let addr: IpAddr = inner.parse().ok()?;
    Some(("has brackets", format!("write {addr}")))
}

/// `192.0.2.1:25`, `[2001:db8::1]:25`
fn port(text: &str) -> Option<Mistake> {
    let (addr, port) = text.rsplit_once(':')?;
    port.parse::<u16>().ok()?;
    let addr = match addr.strip_prefix('[') {
        Some(addr) => addr.strip_suffix(']')?.parse::<IpAddr>().ok()?,
        None => addr.parse::<Ipv4Addr>().ok()?.into(),
    };
    let step = format!("`ports` of the configuration holds for all senders, so write {addr}");
    Some(("has a port", step))
}

/// `fe80::1%eth0`
fn zone(text: &str) -> Option<Mistake> {
    let (addr, _) = text.split_once('%')?;
    let addr: IpAddr = addr.parse().ok()?;
    Some(("names an interface", format!("write {addr}")))
}

/// `192.0.2.0/255.255.255.0`, or the inverse mask.
fn netmask(text: &str) -> Option<Mistake> {
    let (addr, mask) = text.split_once('/')?;
    let addr: Ipv4Addr = addr.parse().ok()?;
    let mask: Ipv4Addr = mask.parse().ok()?;
    let net = IpNet::with_netmask(addr.into(), mask.into())
        .or_else(|_| IpNet::with_netmask(addr.into(), (!mask).into()))
        .ok()?;
    Some(("has a netmask", format!("write {}", net.trunc())))
}

/// `192.0.2.*`
fn star(text: &str) -> Option<Mistake> {
    let numbers: Vec<&str> = text.split('.').collect();
    let stars = numbers.iter().rev().take_while(|part| **part == "*");
    let stars = stars.count();
    if stars == 0 || numbers.len() != 4 {
        return None;
    }
    let text = text.replace('*', "0");
    let net: IpNet = format!("{text}/{}", 32 - 8 * stars).parse().ok()?;
    Some(("has a wildcard", format!("write {net}")))
}

/// `192.0.2.1-192.0.2.9`, `192.0.2.1-9`
fn range(text: &str) -> Option<Mistake> {
    let (first, last) = text.split_once('-')?;
    let first: IpAddr = first.trim().parse().ok()?;
    let last = last.trim();
    let is_end = last.parse::<IpAddr>().is_ok() || last.parse::<u8>().is_ok();
    is_end.then(|| {
        let length = if first.is_ipv4() { 28 } else { 64 };
        let net = IpNet::new(first, length).ok().map(|net| net.trunc());
        let example = net.map_or_else(String::new, |net| format!(" such as {net}"));
        ("is a range", format!("write prefixes{example}"))
    })
}

/// `192.0.2.0/33`
fn length(text: &str) -> Option<Mistake> {
    let (addr, length) = text.split_once('/')?;
    let addr: IpAddr = addr.parse().ok()?;
    length.parse::<u32>().ok()?;
    let longest = if addr.is_ipv4() { 32 } else { 128 };
    Some((
        "has no valid prefix length",
        format!("write a number from 0 to {longest} after the `/`"),
    ))
}

/// `192.0.2`, `192.0.2/24`
fn short(text: &str) -> Option<Mistake> {
    let (numbers, length) = text.split_once('/').unwrap_or((text, ""));
    let numbers: Vec<u8> = numbers
        .split('.')
        .map(|number| number.parse().ok())
        .collect::<Option<_>>()?;
    // A number alone may be a time.
    let least = if length.is_empty() { 2 } else { 1 };
    if !(least..4).contains(&numbers.len()) {
        return None;
    }
    let bits = match length {
        "" => 8 * numbers.len(),
        length => length.parse().ok()?,
    };
    let mut octets = [0; 4];
    octets
        .iter_mut()
        .zip(&numbers)
        .for_each(|(octet, number)| *octet = *number);
    let net = IpNet::new(Ipv4Addr::from(octets).into(), u8::try_from(bits).ok()?).ok()?;
    Some((
        "has fewer than four numbers",
        format!("the prefix is written {}", net.trunc()),
    ))
}

/// `mx.example`
fn name(text: &str) -> Option<Mistake> {
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    let labels: Vec<&str> = text.trim_end_matches('.').split('.').collect();
    let is_label = |label: &&str| !label.is_empty() && label.bytes().all(is_letter);
    let has_word = labels
        .last()?
        .bytes()
        .any(|byte| byte.is_ascii_alphabetic());
    let is_name = labels.len() > 1 && has_word && labels.iter().all(is_label);
    is_name.then(|| {
        let step = format!("give its addresses, which `getent ahosts {text}` shows");
        ("is a name, not an address", step)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_mistake_has_a_text_of_its_own() {
        for (text, expected) in [
            ("x", "is not an address; give one such as 192.0.2.1"),
            ("", "is not an address; give one such as"),
            ("all", "is not an address; give one such as"),
            ("*", "is not an address; give one such as"),
            ("60", "is not an address; give one such as"),
            (
                "10/8",
                "has fewer than four numbers; the prefix is written 10.0.0.0/8",
            ),
            (
                "192.0.2.1,192.0.2.2, 192.0.2.3",
                "has a comma; separate addresses by blanks: 192.0.2.1 192.0.2.2 192.0.2.3",
            ),
            (
                "1.2.3.4;5.6.7.8",
                "has a semicolon; separate addresses by blanks: 1.2.3.4 5.6.7.8",
            ),
            ("[2001:db8::1]", "has brackets; write 2001:db8::1"),
            ("[IPv6:2001:db8::1]", "has brackets; write 2001:db8::1"),
            (
                "192.0.2.1:25",
                "has a port; `ports` of the configuration holds for all senders, so write 192.0.2.1",
            ),
            ("[2001:db8::1]:25", "has a port; "),
            ("fe80::1%eth0", "names an interface; write fe80::1"),
            (
                "192.0.2.9/255.255.255.0",
                "has a netmask; write 192.0.2.0/24",
            ),
            ("192.0.2.0/0.0.0.255", "has a netmask; write 192.0.2.0/24"),
            ("192.0.2.*", "has a wildcard; write 192.0.2.0/24"),
            ("192.0.*.*", "has a wildcard; write 192.0.0.0/16"),
            (
                "192.0.2.1-192.0.2.9",
                "is a range; write prefixes such as 192.0.2.0/28",
            ),
            (
                "192.0.2.17-20",
                "is a range; write prefixes such as 192.0.2.16/28",
            ),
            (
                "192.0.2.0/33",
                "has no valid prefix length; write a number from 0 to 32 after the `/`",
            ),
            ("2001:db8::/129", "has no valid prefix length; "),
            (
                "192.0.2",
                "has fewer than four numbers; the prefix is written 192.0.2.0/24",
            ),
            (
                "192.0/12",
                "has fewer than four numbers; the prefix is written 192.0.0.0/12",
            ),
            (
                "mx.example",
                "is a name, not an address; give its addresses, which `getent ahosts mx.example` shows",
            ),
            ("192.0.2.256", "is not an address; "),
            ("1.2.3.4 ", "is not an address; "),
        ] {
            let said = describe(text);
            let expected = format!("`{text}` {expected}");
            assert!(said.starts_with(&expected), "{said}");
        }
    }
}
