//! `config check`: settings that are valid but unwise.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;
use spamdrop_core::warning::Warning;

/// The result for a valid configuration. `config check --json` prints one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The file that was read; `null`: there is none, and the defaults apply.
    pub config: Option<PathBuf>,
    /// Unwise settings, and problems that do not prevent the start.
    pub warnings: Vec<Warning>,
}

/// Writes the result of the check.
pub fn write_text(out: &mut impl Write, checked: &Checked) -> io::Result<()> {
    match &checked.config {
        Some(path) => writeln!(out, "{}: valid", path.display())?,
        None => writeln!(out, "no configuration file: the defaults apply")?,
    }
    for Warning { about, text } in &checked.warnings {
        writeln!(out, "warning: {about}: {text}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use crate::render::json;

    #[test]
    fn text_and_json() {
        let mut checked = Checked {
            config: Some("/etc/spamdrop/spamdrop.toml".into()),
            warnings: vec![Warning {
                about: "TARPIT",
                text: "is 1".into(),
            }],
        };
        let mut out = Vec::new();
        write_text(&mut out, &checked).unwrap();
        json::object(&mut out, &checked).unwrap();
        checked = Checked {
            config: None,
            warnings: vec![],
        };
        write_text(&mut out, &checked).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            r#"/etc/spamdrop/spamdrop.toml: valid
warning: TARPIT: is 1
{"config":"/etc/spamdrop/spamdrop.toml","warnings":[{"about":"TARPIT","text":"is 1"}]}
no configuration file: the defaults apply
"#
        );
    }
}
