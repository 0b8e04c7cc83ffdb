//! Every header × every server × every wrapper. The test knows only the table
//! `matrix.txt`.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use spamdrop_core::log::{MailServer, Parsed};

use super::{NOW, SERVERS, WRITTEN, parser, unix_time};

struct Table(Vec<Vec<String>>);

impl Table {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/corpus/matrix.txt");
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

    /// The rows of a kind, without it.
    fn of<'table>(
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
    let own = table.of("OWN").filter(|(of, _)| *of == name);
    let own = own.map(|(_, row)| ("own".to_owned(), row));
    let headers = table
        .of("HEADER")
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

/// As Docker's json-file escapes a line.
fn escaped(line: &str) -> String {
    let json = serde_json::to_string(line).unwrap();
    let inside = &json[1..json.len() - 1];
    inside
        .replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
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
    let (mut count, mut wrong) = (0, Vec::new());
    for (name, row) in table.of("SERVER") {
        for (header, line) in lines(&table, name, &row[0], &row[1]) {
            for (wrapper, template) in table.of("WRAPPER") {
                let wrapped = template[0]
                    .replace("{json}", &escaped(&line))
                    .replace("{line}", &line);
                count += 1;
                if let Some(trouble) = trouble(name, &wrapped) {
                    wrong.push(format!(
                        "{wrapper}, {header}, {}: {trouble}: {wrapped}",
                        row[0]
                    ));
                }
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count > 1_000, "{count} combinations");
}
