//! `cargo xtask words`: checks that no retired name, and no sentence that
//! STYLE.md rejects, appears again.

use std::fs;
use std::process::Command;

use anyhow::{Result, ensure};
use regex::RegexSet;

use crate::command::output;

/// The searched paths, as tracked by git: the product, its documents and its tests. The
/// changelog is not among them, because it may contain retired names.
const PLACES: [&str; 7] = [
    "README.md",
    "spamdrop",
    "spamdrop-common",
    "spamdrop-ebpf",
    "tests",
    "xtask",
    ":!xtask/src/words.rs",
];

/// A retired word as a regular expression, and its replacement.
type Retired = (&'static str, &'static str);

const NAMES: [Retired; 49] = [
    (r"\bPupil\b|\bpupils?\b", "evidence buffer"),
    (r"\bLessons?\b|\blessons?\b", "evidence"),
    (r"\bHeld\b", "PendingDemotions"),
    (r"\bStrikes\b", "RecipientFailures"),
    (r"\bturn_page\b", "start_log"),
    (r"\bKeeper\b|\bkeeper\b", "GateController"),
    (r"\bGatehouse\b|\bgatehouse\b", "GateMaps"),
    (r"\bPassage\b|\bpassage\b", "GateStats"),
    (r"\bpreferred\b", "known_or_allowed"),
    (r"\bfloored\b", "starvation_admits"),
    (r"\bunrepeated\b", "unconfirmed"),
    (r"\.asks\b|\basks:", "lookup_requests"),
    (
        r"\bpatience\b|\bPATIENCE\b|\bPatience\b",
        "name_server_health, or a timeout by its name",
    ),
    (r"\bpace\b|\bPace\b|\bPACE\b", "rate_limit"),
    (r"\bwording\b|\bWording\b", "reply_text"),
    (r"\bTurn\b", "WriteLock"),
    (r"\bwatchers?\b|\bWatcher\b|\bWATCHER\b", "daemon"),
    (r"\bforget_verdicts\b", "epoch"),
    (r"\bgeneration\b", "epoch"),
    (r"\bbring_up\w*\b", "install, reinstall, reconfigure"),
    (r"\b[Ss]ieve\b", "import parser"),
    (r"\b[Ii]nlet\b", "fifo_control"),
    (r"\b[Ii]ntake\b", "pipeline"),
    (r"\bjudging\b", "dnsbl look-ups"),
    (r"\bintroducing\b", "known_sender_sync"),
    (r"\badmitting\b", "gate control"),
    (r"\banswering\b", "responder control"),
    (r"\bupkeep\b", "housekeeping"),
    // A machine of QEMU is called a guest, so only the retired type is matched.
    (r"\bGuest\b|\bwelcome\b", "permit, accept"),
    (r"\.fine\(|\bfn fine\b", "health.clear"),
    (r"\bcrate::parse\b|\bmod parse\b", "log"),
    (r"\bcrate::known\b", "reputation"),
    (r"\bcrate::report\b", "render"),
    (r"\bcrate::answer\b|\bmod answer;", "responder"),
    (r"\bcrate::admit\b|\bmod admit;", "gate"),
    (
        r"\bfn (of|at|with|tell|keep|line|text)[(<]",
        "a verb with its object",
    ),
    // Retired sentences.
    (
        r"Who are many are read seldom",
        "wait ten times as long as it took",
    ),
    (r"memory without end", "grow without bound"),
    (r"not to be listed says nothing", "carries no information"),
    (
        r"Who is heard of was at the gate",
        "drain the ring buffer first",
    ),
    (r"worth not starting", "warnings never prevent the start"),
    (r"a read will tell", "errors surface in the next read"),
    (r"to the first refusal, and one", "1 + milliseconds"),
    (r"Exits with 1 if of one", "exits with 1 if any address"),
    (
        r"who logs in is listed no more",
        "authenticated clients are exempt",
    ),
    (r"\bwell again\b", "recovered"),
    (r"has told nothing for", "not responding for"),
    (r"Who sends it\?", "503 5.5.1 MAIL first"),
    (
        r"To wait is to be let in later",
        "waiting means that the SYN is dropped",
    ),
];

/// Where a retired name may stand: the start of the path, a part of the line,
/// and the reason.
type Exception = (&'static str, &'static str, &'static str);

const EXCEPTIONS: [Exception; 9] = [
    (
        "spamdrop/src/kernel/blocklist/migrate/v1",
        "",
        "names the maps and fields of layout version 1",
    ),
    ("tests/upgrade/v1.rs", "", "writes maps of layout version 1"),
    (
        "spamdrop/src/directory.rs",
        "\"watcher.\"",
        "the files of older versions",
    ),
    (
        "spamdrop/src/directory.rs",
        "\"passage\"",
        "a pin of older versions",
    ),
    (
        "spamdrop/src/lock.rs",
        "\"watcher.pid\"",
        "a file of older versions",
    ),
    (
        "spamdrop/src/commands/detach.rs",
        "\"watcher.json\"",
        "a file of older versions",
    ),
    (
        "spamdrop/core/src/wave/sample.rs",
        "#[serde(alias = ",
        "a field of waves that older versions stored",
    ),
    (
        "spamdrop/src/store/tests.rs",
        "\"preferred\":3",
        "a wave that an older version stored",
    ),
    (
        "spamdrop/src/daemon/supervisor.rs",
        "\", answering listed senders\"",
        "a message, in which it is a verb",
    ),
];

/// Searches for retired words, and prints that there are none.
///
/// # Errors
///
/// As [`check`].
pub fn run() -> Result<()> {
    check()?;
    println!("none of the {} retired phrases occurs", NAMES.len());
    Ok(())
}

/// Searches for retired words.
///
/// # Errors
///
/// The error has one line for each occurrence: the file, the line, and the
/// replacement.
pub fn check() -> Result<()> {
    let patterns = RegexSet::new(NAMES.iter().map(|(pattern, _)| pattern))?;
    let mut found = Vec::new();
    let files = output(Command::new("git").args(["ls-files", "--"]).args(PLACES))?;
    for path in files.lines() {
        // The path is a symbolic link, or a test's binary file.
        let Ok(text) = fs::read_to_string(path) else {
            continue;
        };
        found.extend(retired(&patterns, path, &text));
    }
    ensure!(
        found.is_empty(),
        "{} retired words:\n{}",
        found.len(),
        found.join("\n")
    );
    Ok(())
}

fn retired(patterns: &RegexSet, path: &str, text: &str) -> Vec<String> {
    let lines = text.lines().zip(1..);
    lines
        .filter(|(line, _)| !is_excepted(path, line))
        .flat_map(|(line, number)| {
            let found = patterns.matches(line).into_iter();
            found.map(move |index| {
                let instead = NAMES[index].1;
                format!("{path}:{number}: {} ({instead})", line.trim())
            })
        })
        .collect()
}

fn is_excepted(path: &str, line: &str) -> bool {
    let mut exceptions = EXCEPTIONS.iter();
    exceptions.any(|(start, part, _)| path.starts_with(start) && line.contains(part))
}
