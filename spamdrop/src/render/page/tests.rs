#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use roxmltree::{Document, ParsingOptions};
use spamdrop_core::wave::Wave;

use super::*;

fn page(host: &str, waves: i64) -> String {
    let wave = |number| NumberedWave {
        number,
        wave: Wave {
            start_unix_s: 1_795_392_000,
            length_s: 9.0,
            slots: 40,
            peak_open: 30,
            ..Wave::default()
        },
    };
    let report = WaveReport {
        recording: true,
        since_unix_s: 1_795_388_400,
        until_unix_s: 1_795_478_400,
        has_end: false,
        waves: (1..=waves).map(wave).collect(),
    };
    let courses: Vec<_> = report
        .waves
        .iter()
        .map(|wave| (wave.clone(), Vec::new()))
        .collect();
    let page = ReportPage {
        host,
        report: &report,
        courses: &courses,
        switches: Switches::default(),
        zone: &TimeZone::UTC,
    };
    page.html().unwrap()
}

fn parse(page: &str) -> Document<'_> {
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(page, options).unwrap()
}

#[test]
fn a_page_has_the_table_and_the_pictures() {
    let text = page("mx1", 2);
    let page = parse(&text);
    let all = |name| {
        page.descendants()
            .filter(move |node| node.tag_name().name() == name)
    };
    let rows = all("tr").filter(|row| row.descendants().any(|node| node.has_tag_name("td")));
    let numbers: Vec<_> = rows
        .filter_map(|row| row.descendants().find(|node| node.is_text()))
        .collect();
    assert_eq!(
        numbers[..2]
            .iter()
            .map(|node| node.text())
            .collect::<Vec<_>>(),
        [Some("1"), Some("2")]
    );
    // One picture of the period and one of each of the two waves, each for two widths.
    assert_eq!(all("svg").count(), 6);
    let minor = all("th").filter(|node| node.attribute("class") == Some("number minor"));
    assert_eq!(minor.count(), 6);
    assert_eq!(all("h1").next().unwrap().text(), Some("spamdrop on mx1"));
}

#[test]
fn a_name_cannot_become_markup() {
    let host = "<script>alert(1)</script>\"' onload=x &lt; </title></style>\0\u{1b}[2J\u{202e}evil";
    let text = page(host, 1);
    let shown = "<script>alert(1)</script>\"' onload=x &lt; </title></style>\u{fffd}\u{fffd}[2J\u{fffd}evil";
    let page = parse(&text);
    let all = |name| {
        page.descendants()
            .filter(move |node| node.tag_name().name() == name)
    };
    assert_eq!(all("script").count(), 0);
    assert_eq!(
        (all("title").next().unwrap().text(), all("style").count()),
        (Some(&*format!("spamdrop on {shown}: 1 wave")), 1)
    );
    assert_eq!(
        all("h1").next().unwrap().text(),
        Some(&*format!("spamdrop on {shown}"))
    );
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    assert!(!text.contains('\u{202e}'));
}

/// Programs of coreutils compute the hash, because spamdrop itself needs no SHA-256.
#[test]
fn the_policy_allows_the_style_sheet_and_nothing_else() {
    let text = page("mx1", 1);
    let page = parse(&text);
    let style = page.descendants().find(|node| node.has_tag_name("style"));
    assert_eq!(style.unwrap().text(), Some(&*style_sheet()));
    let mut digest = Command::new("sh")
        .args([
            "-c",
            "sha256sum | head -c 64 | tr a-f A-F | basenc --base16 -d | base64",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = digest.stdin.take().unwrap();
    input.write_all(style_sheet().as_bytes()).unwrap();
    drop(input);
    let output = digest.wait_with_output().unwrap();
    let hash = String::from_utf8(output.stdout).unwrap();
    assert_eq!(hash.trim().len(), 44, "sha256sum, basenc or base64 failed");
    assert_eq!(STYLE_HASH, hash.trim(), "write it to STYLE_HASH");
    let policy = page
        .descendants()
        .find_map(|node| node.attribute("content"));
    assert_eq!(
        policy,
        Some(&*format!(
            "default-src 'none'; style-src 'sha256-{STYLE_HASH}'; base-uri 'none'; form-action 'none'"
        ))
    );
}
