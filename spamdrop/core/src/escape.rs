//! Escaping of untrusted text for a terminal.

use std::fmt::Write as _;

/// Shows printable ASCII unchanged, a backslash as `\\` and every other byte as
/// `\xNN`. A log line may contain terminal sequences, and need not be UTF-8.
#[must_use]
pub fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'\\' => text.push_str(r"\\"),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(text, "\\x{byte:02x}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_bytes_become_visible() {
        assert_eq!(
            escape(b"from=<a@b.example>: \"511\""),
            "from=<a@b.example>: \"511\""
        );
        assert_eq!(
            escape(b"\x1b[2J\x07\r\n\t\0"),
            r"\x1b[2J\x07\x0d\x0a\x09\x00"
        );
        assert_eq!(escape(b"\x7f\x9b31m\xff"), r"\x7f\x9b31m\xff");
        assert_eq!(escape("\u{202e}é".as_bytes()), r"\xe2\x80\xae\xc3\xa9");
        assert_eq!(escape(br"\x1b"), r"\\x1b");
    }
}
