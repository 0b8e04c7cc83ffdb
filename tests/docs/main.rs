//! The README and the guide: their links resolve, the commands that their
//! sentences name exist, and their settings are valid. `tests/guide` runs their
//! commands.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use clap::CommandFactory as _;
use regex::Regex;
use spamdrop::cli::Cli;
use spamdrop::config::Config;
use spamdrop_core::log::MailServer;
use spamdrop_core::notice::Notice;
use spamdrop_lab::guide::{Page, Part, pages, root};

/// The languages of a block: commands are run and settings are checked; text
/// and diagrams are neither.
const LANGUAGES: [&str; 5] = ["console", "sh", "toml", "text", "mermaid"];

fn blocks(page: &Page) -> Vec<(String, String, usize)> {
    let parts = page.parts().unwrap().into_iter();
    parts
        .filter_map(|part| match part {
            Part::Block {
                language,
                text,
                line,
            } => Some((language, text, line)),
            Part::Direction(_) => None,
        })
        .collect()
}

#[test]
fn the_readme_is_short() {
    let length = fs::metadata(root().join("README.md")).unwrap().len();
    assert!(length <= 8192, "README.md has {length} bytes");
}

#[test]
fn every_block_says_what_it_is() {
    for page in pages().unwrap() {
        for (language, _, line) in blocks(&page) {
            let place = page.path.display();
            assert!(
                LANGUAGES.contains(&language.as_str()),
                "{place}:{line}: `{language}`"
            );
        }
    }
}

#[test]
fn every_link_leads_somewhere() {
    let link = Regex::new(r"(?m)\]\(([^)]+)\)|^\[[^\]]+\]: (\S+)").unwrap();
    for page in pages().unwrap() {
        for found in link.captures_iter(&page.prose()) {
            let target = found.get(1).or(found.get(2)).unwrap().as_str();
            if target.starts_with("https://") {
                continue;
            }
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = match file {
                "" => root().join(&page.path),
                file => root().join(&page.path).with_file_name("").join(file),
            };
            let place = page.path.display();
            let text = fs::read_to_string(&path);
            let text = text.unwrap_or_else(|error| panic!("{place}: {target}: {error}"));
            assert!(
                anchor.is_empty() || anchors(&text).contains(anchor),
                "{place}: {target}: no such heading"
            );
        }
    }
}

/// The anchors that a forge generates for the headings.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let headings = markdown.lines().filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let title = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.collect::<String>().replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// Commands are found in backquotes and in blocks.
#[test]
fn every_command_that_is_named_exists() {
    let named = Regex::new(r"\bspamdrop((?: (?:[a-z]+\b|--?[a-z-]+|[A-Z.…]+))+)").unwrap();
    let mut cli = Cli::command();
    cli.build();
    let mut seen = BTreeSet::new();
    for page in pages().unwrap() {
        let prose = page.prose();
        let code = prose.split('`').skip(1).step_by(2).map(str::to_owned);
        let blocks = blocks(&page).into_iter();
        let commands = blocks
            .filter(|(language, ..)| ["console", "sh"].contains(&language.as_str()))
            .map(|(_, text, _)| without_output(&text));
        for text in code.chain(commands) {
            for found in named.captures_iter(&text) {
                seen.insert(check(&cli, &page, &found[1]));
            }
        }
    }
    for verb in ["run", "show", "known"] {
        assert!(seen.contains(verb), "{seen:?}");
    }
}

fn without_output(block: &str) -> String {
    let is_console = block.lines().any(|line| line.starts_with("$ "));
    let lines = block
        .lines()
        .filter(|line| !is_console || line.starts_with("$ "));
    let code = lines.map(|line| line.split("  #").next().unwrap_or(line));
    code.fold(String::new(), |text, line| text + line + "\n")
}

/// Follows the words as far as they name a command. The first word must be a
/// command, and every flag must belong to the command.
fn check(cli: &clap::Command, page: &Page, words: &str) -> String {
    let place = page.path.display();
    let mut command = cli;
    for word in words.split_whitespace() {
        if let Some(flag) = word.strip_prefix("--") {
            let mut known = command.get_arguments().filter_map(clap::Arg::get_long);
            assert!(
                known.any(|known| known == flag),
                "{place}: spamdrop{words}: no --{flag}"
            );
        } else if let Some(verb) = command.find_subcommand(word) {
            command = verb;
        } else {
            let is_argument = !command.has_subcommands() || word.starts_with(char::is_uppercase);
            assert!(is_argument, "{place}: spamdrop{words}: no command `{word}`");
        }
    }
    words
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[test]
fn every_setting_that_is_shown_is_valid() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("spamdrop.toml");
    let mut checked = 0;
    for page in pages().unwrap() {
        for (_, text, line) in blocks(&page)
            .iter()
            .filter(|(language, ..)| language == "toml")
        {
            fs::write(&file, text).unwrap();
            let place = page.path.display();
            if let Err(error) = Config::read(Some(&file)) {
                panic!("{place}:{line}: {error:#}");
            }
            checked += 1;
        }
    }
    assert!(checked >= 3, "{checked}");
}

#[test]
fn every_server_has_an_example_that_is_valid() {
    let mut named = BTreeSet::new();
    for entry in fs::read_dir(root().join("spamdrop/dist/examples")).unwrap() {
        let path = entry.unwrap().path();
        // The other files are systemd's units.
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let config = Config::read(Some(&path));
        let config = config.unwrap_or_else(|error| panic!("{}: {error:#}", path.display()));
        named.extend(config.servers.iter().map(|server| server.name()));
        // The settings that are commented out must be valid, too.
        let text = fs::read_to_string(&path).unwrap().replace("\n#", "\n");
        let settings = text.lines().filter(|line| line.contains(" = "));
        let all: Vec<&str> = settings.collect();
        Config::parse(&all.join("\n")).unwrap_or_else(|error| panic!("{all:?}: {error:#}"));
    }
    let all: BTreeSet<&str> = MailServer::ALL.iter().map(|server| server.name()).collect();
    assert_eq!(named, all);
}

#[test]
fn every_event_of_the_journal_is_described_with_its_id() {
    let page = fs::read_to_string(root().join("spamdrop/docs/operation.md")).unwrap();
    let unit = root().join("spamdrop/dist/examples/spamdrop-notify@.service");
    let unit = fs::read_to_string(unit).unwrap();
    for notice in Notice::ALL {
        let row = format!("| `{}` | `{}` | ", notice.name(), notice.message_id());
        assert!(page.contains(&row), "{row}");
        assert!(unit.contains(notice.name()), "{}", notice.name());
    }
}

/// The names of all tests below a directory.
fn tests_below(directory: &Path, found: &mut BTreeSet<String>) {
    let test = Regex::new(r"#\[(?:tokio::)?test[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:async )?fn (\w+)")
        .unwrap();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_below(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.extend(test.captures_iter(&text).map(|test| test[1].to_owned()));
        }
    }
}

#[test]
fn every_threat_names_a_test_that_exists() {
    let mut tests = BTreeSet::new();
    for directory in [
        "tests",
        "spamdrop/src",
        "spamdrop/core/src",
        "spamdrop-common/src",
        "xtask/src",
    ] {
        tests_below(&root().join(directory), &mut tests);
    }
    let page = fs::read_to_string(root().join("spamdrop/docs/SECURITY.md")).unwrap();
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let threats = rows.filter(|row| !row.starts_with("| threat: "));
    let mut count = 0;
    for threat in threats {
        let cells: Vec<&str> = threat.trim_matches('|').split(" | ").collect();
        let [_, _, names] = cells[..] else {
            panic!("a row must have a threat, what limits it, and tests: {threat}");
        };
        let names: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test: {threat}");
        for name in names {
            assert!(tests.contains(name), "no test {name}: {threat}");
        }
        count += 1;
    }
    assert!(count > 30, "{count}");
}

/// The crontab that allows the networks of a provider by its SPF record, with an answer
/// of `dig` whose record consists of two strings.
#[test]
fn the_networks_of_an_spf_record_are_found() {
    let path = root().join("spamdrop/docs/operation.md");
    let text = fs::read_to_string(path).unwrap();
    let dig = "dig +short TXT _spf.provider.example | ";
    let (_, pipe) = text.split_once(dig).unwrap();
    let (pipe, _) = pipe.split_once(" | spamdrop -q allow add ").unwrap();
    let answer = r#""v=spf1 ip4:192.0.2.0/24 ip4:198.51.10" "0.0/24 ip6:2001:db8::/32 ~all""#;
    let command = format!("printf '%s\\n' '{answer}' | {pipe}");
    let output = Command::new("sh").args(["-c", &command]).output().unwrap();
    let found = String::from_utf8(output.stdout).unwrap();
    assert_eq!(found, "192.0.2.0/24\n198.51.100.0/24\n2001:db8::/32\n");
}
