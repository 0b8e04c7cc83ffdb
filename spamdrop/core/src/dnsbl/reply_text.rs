//! The text of a rejection.

use std::net::IpAddr;

use super::key::mask;

/// The longest text, in bytes.
const MAX: usize = 200;

/// The code that Courier answers with instead of 511, and the text after it.
/// Courier takes a number at the start of the text as the code if it is a 4xx
/// or 5xx.
pub fn own_code(text: &str) -> Option<(u64, &str)> {
    let text = text.trim_ascii_start();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (code, rest) = text.split_at_checked(digits)?;
    let code = code.parse().ok()?;
    (400..=599).contains(&code).then_some((code, rest))
}

/// Whether Courier answers 4xx because of this text.
pub fn defers(text: &str) -> bool {
    own_code(text).is_some_and(|(code, _)| code < 500)
}

/// The text without a code, for a reply with 511: the log parser recognises
/// only a 511.
pub fn behind_code(text: &str) -> &str {
    let text = own_code(text).map_or(text, |(_, rest)| rest);
    text.trim_start_matches([' ', '-'])
}

/// Converts a text to printable ASCII of at most 200 bytes; other bytes become
/// `?`.
pub fn clean(text: &[u8]) -> String {
    let printable = |byte: &u8| match byte {
        b' '..=b'~' => char::from(*byte),
        _ => '?',
    };
    text.trim_ascii().iter().take(MAX).map(printable).collect()
}

/// Expands a configured text: the first `@` becomes the address in Courier's
/// form.
pub fn own(text: &str, addr: IpAddr) -> String {
    let shown = match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped(),
        IpAddr::V6(addr) => addr,
    };
    clean(text.replacen('@', &shown.to_string(), 1).as_bytes())
}

/// The default text, for a zone without a text of its own.
pub fn plain(zone: &str) -> String {
    clean(format!("Blacklisted by {}", mask(zone)).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_courier_reads_them() {
        for text in ["450 later", " 421-x", "499", "450x", "0450 x"] {
            assert!(defers(text), "{text}");
        }
        for text in [
            "",
            "511 no",
            "550 no",
            "4500 no",
            "45 no",
            "x 450",
            "127.0.0.2",
            "99999999999999999999999 x",
        ] {
            assert!(!defers(text), "{text}");
        }
    }

    #[test]
    fn a_code_is_no_part_of_the_text() {
        for (text, behind) in [
            ("550 Go away", "Go away"),
            ("511-x", "x"),
            (" 0554  5.7.1 No", "5.7.1 No"),
            ("550", ""),
            ("5500 bots", "5500 bots"),
            ("Go away, 550", "Go away, 550"),
        ] {
            assert_eq!(behind_code(text), behind);
        }
    }

    #[test]
    fn texts_are_short_lines_of_printable_ascii() {
        assert_eq!(clean(b" a\r\n511 b\x1b[2J\xff "), "a??511 b?[2J?");
        assert_eq!(clean(&[b'x'; 300]).len(), 200);
    }

    #[test]
    fn the_first_at_sign_is_the_address() {
        let addr = |text: &str| text.parse().unwrap_or(IpAddr::from([0, 0, 0, 0]));
        assert_eq!(
            own("@ is bad, a@b", addr("192.0.2.1")),
            "::ffff:192.0.2.1 is bad, a@b"
        );
        assert_eq!(own("see @", addr("2001:db8::1")), "see 2001:db8::1");
        assert_eq!(plain("b.example"), "Blacklisted by b.example");
    }
}
