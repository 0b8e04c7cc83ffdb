//! The part of a line before the message: syslog's header, as in files and
//! journalctl's output, or the stamp of a log that the server writes itself.

use super::bytes::{count_digits, token};
use super::stamp::Stamp;

/// The parts of a line, not yet interpreted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header<'line> {
    /// `None` for RFC 5424's nil stamp, or if there is no stamp.
    pub(super) stamp: Option<Stamp<'line>>,
    /// The program's name, without the process id; `None` if there is no syslog
    /// header.
    pub(super) program: Option<&'line [u8]>,
    pub(super) message: &'line [u8],
}

impl<'line> Header<'line> {
    /// Splits a line after its syslog header or, if it has none, after its
    /// stamp.
    pub(super) fn split(line: &'line [u8]) -> Self {
        Self::syslog(line).unwrap_or_else(|| Self::bare(line))
    }

    /// Splits a line after its stamp, if it has one, whatever follows.
    pub(super) fn bare(line: &'line [u8]) -> Self {
        let (stamp, message) = match Stamp::certain(line) {
            Some((stamp, message)) => (Some(stamp), message),
            None => (None, line),
        };
        Self {
            stamp,
            program: None,
            message,
        }
    }

    /// The reason why a server's grammar does not apply to this line.
    pub(super) fn not_its(&self) -> &'static str {
        match self.program {
            Some(_) => "another program wrote it",
            None => "it does not start with a syslog header",
        }
    }

    /// Splits a line in one of these forms, each with or without a `<PRI>`, a
    /// `[pid]` and a `message repeated N times: […]` wrapper:
    ///
    /// ```text
    /// Nov  3 08:50:54 mx1 prog: message                      RFC 3164, journalctl -o short
    /// Nov  3 08:50:54.615769 mx1 prog: message               journalctl -o short-precise
    /// 2026-11-03T08:50:54.615769+00:00 mx1 prog: message     rsyslog, journalctl -o short-iso
    /// Tue 2026-11-03 08:50:54 UTC mx1 prog: message          journalctl -o short-full
    /// 1793695854.615769 mx1 prog: message                    journalctl -o short-unix
    /// <19>1 2026-11-03T08:50:54Z mx1 prog - - - message      RFC 5424
    /// ```
    fn syslog(line: &'line [u8]) -> Option<Self> {
        if Stamp::own(line).is_some() {
            return None;
        }
        let (priority, rest) = strip_priority(line);
        let header = match rest.strip_prefix(b"1 ") {
            Some(rest) if priority => Self::structured(rest)?,
            _ => Self::plain(rest)?,
        };
        Some(Self {
            message: strip_repeated(header.message.trim_ascii_start()),
            ..header
        })
    }

    fn plain(line: &'line [u8]) -> Option<Self> {
        let (stamp, rest) = Stamp::split(line)?;
        let (_host, rest) = token(rest)?;
        let (tag, message) = token(rest)?;
        Some(Self {
            stamp: Some(stamp),
            program: Some(strip_pid(tag.strip_suffix(b":")?)),
            message,
        })
    }

    /// Splits the rest of a line in the form of RFC 5424 section 6, after the
    /// version.
    fn structured(line: &'line [u8]) -> Option<Self> {
        let (stamp, rest) = token(line)?;
        let (_host, rest) = token(rest)?;
        let (program, rest) = token(rest)?;
        let (_pid, rest) = token(rest)?;
        let (_message_id, rest) = token(rest)?;
        let message = skip_structured_data(rest)?.strip_prefix(b" ")?;
        Some(Self {
            stamp: match stamp {
                b"-" => None,
                _ => Some(Stamp::Rfc3339(stamp)),
            },
            program: Some(program),
            message: message.strip_prefix(b"\xef\xbb\xbf").unwrap_or(message),
        })
    }
}

fn strip_priority(line: &[u8]) -> (bool, &[u8]) {
    let stripped = line.strip_prefix(b"<").and_then(|rest| {
        let digits = count_digits(rest);
        let rest = rest.get(digits..)?.strip_prefix(b">")?;
        (1..=3).contains(&digits).then_some(rest)
    });
    (stripped.is_some(), stripped.unwrap_or(line))
}

fn strip_pid(tag: &[u8]) -> &[u8] {
    let stripped = tag.strip_suffix(b"]").and_then(|tag| {
        let (program, pid) = tag.split_at_checked(memchr::memchr(b'[', tag)?)?;
        let pid = pid.strip_prefix(b"[")?;
        (!pid.is_empty() && count_digits(pid) == pid.len()).then_some(program)
    });
    stripped.unwrap_or(tag)
}

/// Removes the wrapper that rsyslog's `$RepeatedMsgReduction` adds: `message
/// repeated 3 times: [ the message]`.
fn strip_repeated(message: &[u8]) -> &[u8] {
    let inner = message
        .strip_prefix(b"message repeated ")
        .and_then(|rest| rest.get(count_digits(rest)..))
        .and_then(|rest| rest.strip_prefix(b" times: ["))
        .and_then(|rest| rest.strip_suffix(b"]"));
    inner.map_or(message, <[u8]>::trim_ascii_start)
}

/// Skips the structured data of RFC 5424 section 6.3: `-`, or elements whose
/// quoted values escape `"`, `\` and `]`.
fn skip_structured_data(bytes: &[u8]) -> Option<&[u8]> {
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
