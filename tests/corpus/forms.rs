//! The corpora of headers and wrappers, parsed with the grammars of all servers at
//! once.

use std::collections::BTreeMap;
use std::fs;

use spamdrop_core::event::Event;
use spamdrop_core::log::{Parsed, Parser};

use super::{Case, NOW, SERVERS, WRITTEN, corpus, describe, directory, parser, unix_time};

/// The files, and the number of forms in each.
const FILES: [(&str, usize); 2] = [("headers", 28), ("wrappers", 12)];

fn all_servers() -> Parser {
    parser(&SERVERS.map(|(_, server)| server))
}

/// `quiet` stands for a line that is no event. It may be a near miss.
fn is_as_expected(expected: &str, found: &str) -> bool {
    expected == found || expected == "quiet" && matches!(found, "near" | "none")
}

#[test]
fn every_form_is_read_as_written_beside_it() {
    let mut wrong = Vec::new();
    for case in FILES.into_iter().flat_map(|(file, _)| corpus(file)) {
        let mut parser = all_servers();
        let parsed = parser.parse(&case.line, unix_time(NOW));
        let found = describe(&parsed);
        let Case {
            place, expected, ..
        } = &case;
        if !is_as_expected(expected, &found) {
            wrong.push(format!("{place}: {found}, not {expected}: {parsed:?}"));
        }
        if let Parsed::Event(Event { at, .. }) = parsed
            && !at.is_some_and(|at| (unix_time(WRITTEN)..unix_time(WRITTEN + 1)).contains(&at))
        {
            wrong.push(format!("{place}: written at {at:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The numbers of real and hostile lines of each form. A form's lines are between its
/// comment `# FORM: SOURCE` and the next such comment or empty line.
fn lines_by_form(file: &str) -> BTreeMap<String, [usize; 2]> {
    let path = directory();
    let text = fs::read_to_string(path.join(file).with_extension("txt")).unwrap();
    let mut forms = BTreeMap::new();
    let mut form = None;
    for line in text.lines() {
        let kind = ["real", "hostile"]
            .iter()
            .position(|kind| line.starts_with(kind));
        match (
            line.strip_prefix("# ")
                .and_then(|rest| rest.split_once(": ")),
            kind,
        ) {
            (Some((name, _)), _) if !name.contains(' ') => form = Some(name.to_owned()),
            _ if line.is_empty() => form = None,
            (_, Some(kind)) => {
                if let Some(name) = &form {
                    let counts: &mut [usize; 2] = forms.entry(name.clone()).or_default();
                    counts[kind] += 1;
                }
            }
            _ => {}
        }
    }
    forms
}

#[test]
fn every_form_has_enough_lines() {
    for (file, number) in FILES {
        let forms = lines_by_form(file);
        assert!(forms.len() >= number, "{file}: {forms:?}");
        for (form, [real, hostile]) in forms {
            assert!(
                real >= 10 && hostile >= 3,
                "{file}, {form}: {real} and {hostile} lines"
            );
        }
    }
}
