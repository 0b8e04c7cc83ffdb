//! The pages and pictures of made-up waves, and those of the guide.

use std::path::Path;

use super::fixture::{MONDAY, huge, one, week};
use super::*;

/// The pictures of the guide.
const GUIDE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/pictures");
/// The variable with the directory to which the pages of all cases are written, for
/// `cargo xtask pictures`.
const PAGES: &str = "SPAMDROP_PAGES";
/// The variable that is set if the pictures of the guide are to be written.
const WRITE: &str = "SPAMDROP_WRITE_PICTURES";

fn report(home: &Home, args: &[&str]) -> String {
    let mut command = home.command(&["report"]);
    let output = command.args(args).env("TZ", "UTC").output().unwrap();
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    stdout(&output).to_owned()
}

/// A case: its name, waves, configuration, and flags.
type Case = (
    &'static str,
    Vec<Snapshot>,
    &'static str,
    &'static [&'static str],
);

const WEEK: [&str; 4] = ["--since", "2026-11-23", "--until", "2026-11-30"];

fn cases() -> Vec<Case> {
    let ([great, wild], on) = (
        <[Snapshot; 2]>::try_from(huge()).unwrap(),
        "admit = \"on\"\n",
    );
    let mut observed = one();
    observed[0].wave.observed = true;
    observed[0].wave.totals.answered = 0;
    observed[0]
        .points
        .iter_mut()
        .for_each(|point| point.answered = 0);
    vec![
        ("none", Vec::new(), "", &WEEK),
        ("off", Vec::new(), "admit = \"off\"\n", &WEEK),
        ("one", one(), on, &WEEK),
        ("observed", observed, "", &WEEK),
        ("week", week(), on, &WEEK),
        ("great", vec![great.clone()], on, &WEEK),
        ("huge", vec![great, wild], on, &WEEK),
    ]
}

#[test]
fn every_page_is_well_formed_and_refers_to_nothing() {
    let directory = std::env::var_os(PAGES);
    for (name, waves, config, args) in cases() {
        let home = home_with(&waves, config);
        let page = report(&home, &[args, &["--html", "-"]].concat());
        if let Some(directory) = &directory {
            fs::create_dir_all(directory).unwrap();
            fs::write(Path::new(directory).join(format!("{name}.html")), &page).unwrap();
        }
        let options = roxmltree::ParsingOptions {
            allow_dtd: true,
            ..Default::default()
        };
        let document = Document::parse_with_options(&page, options);
        let document = document.unwrap_or_else(|error| panic!("{name}: {error}"));
        for node in document.descendants().filter(|node| node.is_element()) {
            let tag = node.tag_name().name();
            assert!(
                !["script", "link", "img", "iframe", "a", "use"].contains(&tag),
                "{tag}"
            );
            for attribute in node.attributes() {
                let attribute = attribute.name();
                let refers = ["href", "src", "style"].contains(&attribute);
                assert!(!refers && !attribute.starts_with("on"), "{attribute}");
            }
        }
        assert!(
            !page.contains("url(") && !page.contains("@import"),
            "{name}"
        );
    }
}

#[test]
fn the_pictures_of_the_guide_are_those_of_the_program() {
    for (name, waves, args) in [("wave.svg", one(), &["1"][..]), ("week.svg", week(), &WEEK)] {
        let home = home_with(&waves, "admit = \"on\"\n");
        let drawn = report(&home, &[args, &["--svg", "-"]].concat());
        let path = Path::new(GUIDE).join(name);
        if std::env::var_os(WRITE).is_some() {
            fs::create_dir_all(GUIDE).unwrap();
            fs::write(&path, &drawn).unwrap();
        }
        assert!(drawn.len() < 40_000, "{name}: {}", drawn.len());
        let kept = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            kept == drawn,
            "{} differs; write it with `cargo xtask pictures`",
            path.display()
        );
    }
    assert_eq!(MONDAY % 86_400, 0);
}
