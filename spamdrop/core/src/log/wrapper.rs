//! The wrappers that container engines and syslog daemons put around a line.
//!
//! A wrapper is recognised only by text that precedes everything that a sender
//! can write. In JSON, the engine escapes the sender's text, so that it stays
//! data; an object with two keys of the same meaning is not taken.

mod json;

use std::borrow::Cow;

use super::bytes::token;
use super::header::strip_priority;
use super::stamp::{Stamp, is_calendar_word};

/// A line without its wrappers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unwrapped<'line> {
    pub(super) text: Cow<'line, [u8]>,
    /// The stamp of the wrapper.
    pub(super) stamp: Option<Stamp<'line>>,
}

/// Removes the wrappers of a line.
pub(super) fn unwrap(line: &[u8]) -> Unwrapped<'_> {
    let line = without_noise(line);
    if line.starts_with(b"{")
        && let Some(unwrapped) = json::unwrap(line)
    {
        return unwrapped;
    }
    let line = match is_rfc3339(line) {
        true => line,
        false => compose(line).or_else(|| kubectl(line)).unwrap_or(line),
    };
    let (stamp, text) = match stamped(line) {
        Some((stamp, text)) => (Some(stamp), text),
        None => (None, line),
    };
    Unwrapped {
        text: Cow::Borrowed(text),
        stamp,
    }
}

/// Removes the zeros that a writer leaves in a truncated file, a byte order
/// mark, and a carriage return at the end.
fn without_noise(line: &[u8]) -> &[u8] {
    let line = match line {
        [0, ..] => {
            let start = line.iter().position(|byte| *byte != 0);
            line.get(start.unwrap_or(line.len())..).unwrap_or_default()
        }
        _ => line,
    };
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// `mail-1  | text`: docker compose logs. `[mail] | text`: podman-compose.
fn compose(line: &[u8]) -> Option<&[u8]> {
    let (name, rest) = token(line)?;
    let name = match name.strip_prefix(b"[") {
        Some(name) => name.strip_suffix(b"]")?,
        None => name,
    };
    let rest = rest.trim_ascii_start().strip_prefix(b"| ")?;
    is_container(name).then_some(rest)
}

/// `[pod/mail-0/postfix] text`: kubectl logs `--prefix`.
fn kubectl(line: &[u8]) -> Option<&[u8]> {
    let rest = line.strip_prefix(b"[pod/")?;
    let (name, rest) = token(rest)?;
    let (pod, container) = split_at_slash(name.strip_suffix(b"]")?)?;
    (is_container(pod) && is_container(container)).then_some(rest)
}

/// `stdout F text` after a stamp: the log files of containerd and CRI-O,
/// podman's k8s-file (Kubernetes' CRI log format). Pieces of a long line (`P`)
/// are not lines.
fn cri(rest: &[u8]) -> Option<&[u8]> {
    let rest = rest.strip_prefix(b"std")?;
    rest.strip_prefix(b"out F ")
        .or_else(|| rest.strip_prefix(b"err F "))
}

/// Whether the text behind a stamp has a stamp or a priority of its own, as in the
/// output of docker logs `--timestamps`.
fn has_header(text: &[u8]) -> bool {
    let is_seconds = || match Stamp::split(text) {
        Some((Stamp::Unix(seconds), _)) => seconds.len() == "1795423854".len(),
        _ => false,
    };
    let is_structured = strip_priority(text).len() < text.len() || text.starts_with(b"1 2");
    is_structured || Stamp::certain(text).is_some() || is_seconds()
}

/// Splits a line after a wrapper's stamp: an RFC 3339 stamp with a time zone, before
/// the fields of [`cri`] or a line with its own header. `None` for any other line.
fn stamped(line: &[u8]) -> Option<(Stamp<'_>, &[u8])> {
    if !is_rfc3339(line) {
        return None;
    }
    let (_, rest) = token(line)?;
    // Fast path: nearly all lines have a host name here, and so no wrapper.
    if !matches!(rest.first()?, b's' | b'<' | b'@' | b'0'..=b'9' | b'A'..=b'Z') {
        return None;
    }
    let text = cri(rest).or_else(|| has_header(rest).then_some(rest))?;
    let (stamp, _) = Stamp::split(line)?;
    (matches!(stamp, Stamp::Rfc3339(_)) && !stamp.is_zoneless()).then_some((stamp, text))
}

fn is_rfc3339(line: &[u8]) -> bool {
    line.get(4) == Some(&b'-') && line.get("2026-11-03".len()) == Some(&b'T')
}

/// Removes the name in `mail Nov  3 08:50:54 mx1 prog: message`: podman logs
/// `--names`. `None` if no stamp follows. The caller has found no stamp at the
/// start of the line.
pub(super) fn strip_name(line: &[u8]) -> Option<&[u8]> {
    let (name, rest) = token(line)?;
    if !is_container(name) || is_calendar_word(name) {
        return None;
    }
    Stamp::certain(rest)?;
    Some(rest)
}

/// Whether the bytes can be the name of a container. One letter cannot: Exim's
/// reject log has one before each header of a message.
fn is_container(name: &[u8]) -> bool {
    name.len() > 1
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte))
}

fn split_at_slash(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let (before, behind) = name.split_at_checked(memchr::memchr(b'/', name)?)?;
    Some((before, behind.get(1..)?))
}
