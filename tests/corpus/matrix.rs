//! Every header × every server × every wrapper, as the table `matrix.txt` has them.

use std::fs;
use std::time::SystemTime;

use spamdrop_core::log::{MailServer, Parsed};

use super::{NOW, SERVERS, WRITTEN, directory, parser, unix_time};

struct Table(Vec<Vec<String>>);

impl Table {
    fn read() -> Self {
        let path = directory().join("matrix.txt");
        let text = fs::read_to_string(path).unwrap();
        let lines = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(
            lines
                .map(|line| line.split(" ;; ").map(Into::into).collect())
                .collect(),
        )
    }

    /// The rows that begin with the word `kind`: for each, the name after that word, and the
    /// other columns.
    fn rows<'table>(
        &'table self,
        kind: &'table str,
    ) -> impl Iterator<Item = (&'table str, &'table [String])> {
        self.0.iter().filter_map(move |row| {
            let name = row.first()?.strip_prefix(kind)?.strip_prefix(' ')?;
            Some((name, row.get(1..)?))
        })
    }
}

fn server(name: &str) -> MailServer {
    let found = SERVERS.iter().find(|(known, _)| *known == name);
    found.expect(name).1
}

/// All lines of a server without a wrapper, with the names of their headers.
fn lines(table: &Table, name: &str, program: &str, message: &str) -> Vec<(String, String)> {
    let tag = format!("{program}[2317]");
    let own = table.rows("OWN").filter(|(of, _)| *of == name);
    let own = own.map(|(_, row)| ("own".to_owned(), row));
    let headers = table
        .rows("HEADER")
        .map(|(header, row)| (header.to_owned(), row))
        .chain(own);
    let fill = |template: &String| {
        let line = template
            .replace("{tag}", &tag)
            .replace("{program}", program);
        line.replace("{message}", message)
    };
    headers
        .map(|(header, row)| (header, fill(&row[0])))
        .collect()
}

/// Escapes a line as Docker's logging driver json-file does.
fn escaped(line: &str) -> String {
    let json = serde_json::to_string(line).unwrap();
    let inside = &json[1..json.len() - 1];
    inside
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
}

/// Every line of the servers under every header and wrapper, with names of its
/// parts.
fn combinations(table: &Table) -> Vec<(String, &str, String)> {
    let mut combinations = Vec::new();
    for (name, row) in table.rows("SERVER") {
        for (header, line) in lines(table, name, &row[0], &row[1]) {
            for (wrapper, template) in table.rows("WRAPPER") {
                let names = format!("{wrapper}, {header}, {}", row[0]);
                combinations.push((names, name, wrap(&template[0], &line)));
            }
        }
    }
    combinations
}

fn wrap(template: &str, line: &str) -> String {
    template
        .replace("{json}", &escaped(line))
        .replace("{line}", line)
}

/// Why a line is not read as the rejection of 192.0.2.1 at the time of its stamp.
fn trouble(name: &str, line: &str) -> Option<String> {
    let mut parser = parser(&[server(name)]);
    match parser.parse(line.as_bytes(), unix_time(NOW)) {
        Parsed::Event(event) => {
            let is_right = event.addr.to_string() == "192.0.2.1" && event.at.is_none_or(is_written);
            (!is_right).then(|| format!("{event:?}"))
        }
        other => Some(format!("{other:?}")),
    }
}

fn is_written(at: SystemTime) -> bool {
    (unix_time(WRITTEN)..unix_time(WRITTEN + 1)).contains(&at)
}

#[test]
fn a_rejection_is_taken_under_every_header_and_wrapper() {
    let table = Table::read();
    let combinations = combinations(&table);
    let count = combinations.len();
    let wrong = combinations.into_iter().filter_map(|(names, name, line)| {
        let trouble = trouble(name, &line)?;
        Some(format!("{names}: {trouble}: {line}"))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count > 1_000, "{count} combinations");
}

/// The sender 192.0.2.9 sends a whole log line with the rejection of 9.9.9.9 as its own
/// words. Whatever server logs these words, in whatever wrapper, 9.9.9.9 is not blocked.
#[test]
fn a_line_in_the_words_of_a_sender_is_never_taken() {
    let table = Table::read();
    let all = SERVERS.map(|(_, server)| server);
    let mut parser = parser(&all);
    let mut count = 0;
    for (names, _, line) in combinations(&table) {
        let words = line.replace("192.0.2.1", "9.9.9.9");
        for (sender, row) in table.rows("SENDER") {
            let carrier = row[0].replace("{words}", &words);
            for (wrapper, template) in table.rows("WRAPPER") {
                let line = wrap(&template[0], &carrier);
                count += 1;
                if let Parsed::Event(event) = parser.parse(line.as_bytes(), unix_time(NOW)) {
                    let addr = event.addr.to_string();
                    assert_eq!(addr, "192.0.2.9", "{names}, in {sender}, {wrapper}: {line}");
                }
            }
        }
    }
    assert!(count > 100_000, "{count} lines");
}
