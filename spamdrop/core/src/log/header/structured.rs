//! The header of RFC 5424.

use super::Header;
use crate::log::bytes::{count_digits, token};
use crate::log::stamp::Stamp;

/// Whether the text after the version `1 ` starts as RFC 5424 wants it: with a full
/// date or a nil stamp. A line in another form may start with `1 `, too.
pub(super) fn starts(rest: &[u8]) -> bool {
    rest.starts_with(b"- ") || count_digits(rest) == 4 && rest.get(4) == Some(&b'-')
}

/// Splits the rest of a line in the form of RFC 5424 section 6, after the
/// version.
pub(super) fn split(line: &[u8]) -> Option<Header<'_>> {
    let (stamp, rest) = token(line)?;
    let stamp = match stamp {
        b"-" => None,
        _ => Some(Stamp::Rfc3339(stamp)),
    };
    after_stamp(stamp, rest)
}

/// `mx1 prog 811 - - message`: the fields after the stamp.
pub(super) fn after_stamp<'line>(
    stamp: Option<Stamp<'line>>,
    rest: &'line [u8],
) -> Option<Header<'line>> {
    let (_host, rest) = token(rest)?;
    let (program, rest) = token(rest)?;
    let (_pid, rest) = token(rest)?;
    let (_message_id, rest) = token(rest)?;
    let message = skip_data(rest)?.strip_prefix(b" ")?;
    Some(Header {
        stamp,
        outer: None,
        program: Some(program),
        message: message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message),
    })
}

/// Skips the structured data of RFC 5424 section 6.3: `-`, or elements whose
/// quoted values escape `"`, `\` and `]`.
fn skip_data(bytes: &[u8]) -> Option<&[u8]> {
    if let Some(rest) = bytes.strip_prefix(b"-") {
        return Some(rest);
    }
    let mut rest = skip_element(bytes)?;
    while rest.starts_with(b"[") {
        rest = skip_element(rest)?;
    }
    Some(rest)
}

fn skip_element(bytes: &[u8]) -> Option<&[u8]> {
    let inside = bytes.strip_prefix(b"[")?;
    let (mut quoted, mut escaped) = (false, false);
    let end = inside.iter().position(|&byte| {
        if escaped {
            escaped = false;
            return false;
        }
        match byte {
            b'"' => quoted = !quoted,
            b'\\' => escaped = quoted,
            b']' => return !quoted,
            _ => {}
        }
        false
    })?;
    inside.get(end + 1..)
}
