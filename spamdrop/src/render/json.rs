//! JSON as `--json` prints it.

use std::io::{self, Write};
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Writes one object in one line.
pub fn object(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    writeln!(out)
}

/// Writes one array, with one element a line, so that the output can be
/// streamed and compared with diff.
pub fn array<T: Serialize>(
    out: &mut impl Write,
    items: impl IntoIterator<Item = T>,
) -> io::Result<()> {
    out.write_all(b"[")?;
    for (index, item) in items.into_iter().enumerate() {
        out.write_all(if index == 0 { b"\n" } else { b",\n" })?;
        serde_json::to_writer(&mut *out, &item)?;
    }
    out.write_all(b"\n]\n")
}

/// Serialises a duration as seconds with milliseconds: `552.25`.
pub fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    let whole = Duration::from_millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    serializer.serialize_f64(whole.as_secs_f64())
}

/// As [`seconds`]; `None` becomes `null`.
pub fn optional_seconds<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match duration {
        Some(duration) => seconds(duration, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn an_array_has_one_element_a_line() {
        let text = |items: &[u8]| {
            let mut out = Vec::new();
            array(&mut out, items).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(&[]), "[\n]\n");
        assert_eq!(text(&[1]), "[\n1\n]\n");
        assert_eq!(text(&[1, 2]), "[\n1,\n2\n]\n");
    }
}
