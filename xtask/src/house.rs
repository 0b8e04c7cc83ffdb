//! Rules that no compiler checks: which module may use the kernel's interfaces,
//! what spamdrop-core and spamdrop-common must not name, and how a file may be named
//! and how long it may be.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::MetadataCommand;
use regex::Regex;

use crate::source::{File, read_crate};

/// Maximum number of lines in a source file, except `tests.rs`.
const MAX_LINES: usize = 400;

/// File names that do not describe their content.
const EMPTY_NAMES: [&str; 5] = ["helper", "helpers", "misc", "util", "utils"];

/// The only module that may use the kernel's interfaces.
const KERNEL: &str = "spamdrop/src/kernel";

/// Names that the files of a crate must not contain.
struct Rule {
    root: &'static str,
    /// Files below this directory are exempt.
    room: Option<&'static str>,
    /// A regular expression for the forbidden identifiers and keywords.
    words: &'static str,
    /// A regular expression for the forbidden paths of two segments or more.
    paths: &'static str,
    rule: &'static str,
}

const OF_KERNEL: &str = "^(aya(_.*)?|netlink_.*|libc|unsafe)$";
const ONE_ROOM: &str = "only spamdrop/src/kernel may use aya, netlink, libc and unsafe";

const RULES: [Rule; 4] = [
    Rule {
        root: "spamdrop/src/lib.rs",
        room: Some(KERNEL),
        words: OF_KERNEL,
        paths: "^$",
        rule: ONE_ROOM,
    },
    Rule {
        root: "spamdrop/src/main.rs",
        room: None,
        words: OF_KERNEL,
        paths: "^$",
        rule: ONE_ROOM,
    },
    Rule {
        root: "spamdrop/core/src/lib.rs",
        room: None,
        words: "^(unsafe|File|TcpStream|TcpListener|UdpSocket|UnixStream|stdin|stdout|stderr)$",
        paths: "^std::(env|fs|os|process|thread)\\b|::now$|::(SystemTime|Instant)::elapsed$|TimeZone::(get|system)$",
        rule: "spamdrop-core reads no clock, file, socket or environment",
    },
    Rule {
        root: "spamdrop-common/src/lib.rs",
        room: None,
        words: "^(libc|netlink_.*)$",
        paths: "^std::",
        rule: "spamdrop-common is built for the kernel as well",
    },
];

/// Checks the length and the name of every file below the `src` of each package, and applies
/// `RULES`. Integration tests are outside `src`, so they are not checked.
///
/// # Errors
///
/// The error has one line for each breach: the file and the rule.
pub fn check() -> Result<()> {
    let mut breaches = Vec::new();
    let metadata = MetadataCommand::new().no_deps().exec()?;
    for package in &metadata.packages {
        let src = package.manifest_path.with_file_name("src");
        for path in sources(src.as_std_path())? {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let inside = path.strip_prefix(&src)?;
            let found = shape(inside, &text);
            let src = src.strip_prefix(&metadata.workspace_root)?;
            breaches.extend(found.iter().map(|breach| format!("\n{src}/{breach}")));
        }
    }
    for rule in &RULES {
        for file in read_crate(Path::new(rule.root))? {
            breaches.extend(rule.breaches(&file)?);
        }
    }
    ensure!(
        breaches.is_empty(),
        "rules of the house:{}",
        breaches.concat()
    );
    Ok(())
}

/// Finds every `.rs` file below a directory.
fn sources(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let entries =
        fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}

fn shape(path: &Path, text: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    let lines = text.lines().count();
    // A reader looks up one test at a time, so a file of tests may be long.
    let is_tests = path.file_stem().is_some_and(|stem| stem == "tests");
    if lines > MAX_LINES && !is_tests {
        breaches.push(format!(
            "{}: {lines} lines, more than {MAX_LINES}",
            path.display()
        ));
    }
    let is_empty = |part: &Path| {
        part.file_stem()
            .is_some_and(|stem| EMPTY_NAMES.iter().any(|name| stem == *name))
    };
    if path.iter().map(Path::new).any(is_empty) {
        breaches.push(format!(
            "{}: the name does not describe the content",
            path.display()
        ));
    }
    breaches
}

impl Rule {
    /// Returns the first breach in a file, as one line.
    fn breaches(&self, file: &File) -> Result<Option<String>> {
        if self.room.is_some_and(|room| file.path.starts_with(room)) {
            return Ok(None);
        }
        let (words, paths) = (Regex::new(self.words)?, Regex::new(self.paths)?);
        let scopes = file.scopes.values();
        let named = scopes.flat_map(|scope| &scope.paths);
        let named = named.map(|(path, line)| (path.join("::"), *line));
        let words = file.words.iter().filter(|(word, _)| words.is_match(word));
        let found = named.filter(|(path, _)| paths.is_match(path));
        let found = found.chain(words.cloned()).min_by_key(|(_, line)| *line);
        Ok(found.map(|(what, line)| {
            format!("\n{}:{line}: `{what}`: {}", file.path.display(), self.rule)
        }))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    /// Writes `text` to a file of a crate, and returns the breach that the rule
    /// finds in it.
    fn breach(rule: &Rule, path: &str, text: &str) -> Option<String> {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        let mut file = read_crate(&path).unwrap().remove(0);
        file.path = file.path.strip_prefix(&root).unwrap().to_owned();
        rule.breaches(&file).unwrap()
    }

    #[test]
    fn the_kernels_room_cannot_be_bypassed() {
        let [rule, ..] = &RULES;
        for text in [
            "use aya_obj::Object;",
            "fn f(map: &aya::Ebpf) {}",
            "use netlink_sys::Socket;",
            "fn f() -> i32 { libc::EMFILE }",
            "fn f() { unsafe { g() } }",
        ] {
            let found = breach(rule, "spamdrop/src/daemon/mod.rs", text);
            assert!(found.is_some(), "{text}");
            assert_eq!(breach(rule, "spamdrop/src/kernel/mod.rs", text), None);
        }
        let harmless = "//! As aya does.\nconst A: &str = \"libc\"; // unsafe\n\
                        #[cfg(test)] mod tests { fn f() { unsafe { g() } } }";
        assert_eq!(breach(rule, "spamdrop/src/daemon/mod.rs", harmless), None);
    }

    #[test]
    fn decisions_read_no_clock_and_no_file() {
        let rule = &RULES[2];
        for (text, what) in [
            ("use std::fs;", "std::fs"),
            ("use std::{env::var, fmt};", "std::env::var"),
            ("fn f() { Instant::now(); }", "Instant::now"),
            ("fn f() { jiff::Timestamp::now() }", "jiff::Timestamp::now"),
            ("fn f(file: &mut File) {}", "File"),
        ] {
            let found = breach(rule, "core/src/lib.rs", &format!("//! Decides.\n\n{text}"));
            let expected = format!(
                "\ncore/src/lib.rs:3: `{what}`: \
                 spamdrop-core reads no clock, file, socket or environment"
            );
            assert_eq!(found.as_ref(), Some(&expected), "{text}");
        }
        let text = "use std::time::Instant;\nfn f(now: Instant) -> Instant { now }";
        assert_eq!(breach(rule, "core/src/lib.rs", text), None);
    }

    #[test]
    fn long_files_and_empty_names_are_breaches() {
        let long = "\n".repeat(401);
        assert_eq!(shape(Path::new("a.rs"), &long).len(), 1);
        assert_eq!(shape(Path::new("a.rs"), &long[1..]).len(), 0);
        assert_eq!(shape(Path::new("utils/a.rs"), "").len(), 1);
        assert_eq!(shape(Path::new("tail/helpers.rs"), "").len(), 1);
    }

    #[test]
    fn sources_are_found_at_any_depth() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        fs::write(root.path().join("a/b/c.rs"), "").unwrap();
        fs::write(root.path().join("a/notes.md"), "").unwrap();
        assert_eq!(
            sources(root.path()).unwrap(),
            [root.path().join("a/b/c.rs")]
        );
    }
}
