//! Rules that no compiler checks: which module may speak to the kernel, and
//! how long a file may be.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::MetadataCommand;
use regex::Regex;

/// Lines that a source file may have.
const MAX_LINES: usize = 400;

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 5] = ["helper", "helpers", "misc", "util", "utils"];

/// Words that only some modules of the controller may use.
struct Arrow {
    pattern: &'static str,
    is_allowed: fn(module: &str) -> bool,
    rule: &'static str,
}

const ARROWS: [Arrow; 3] = [
    Arrow {
        pattern: r"\baya(_\w+)?\b",
        is_allowed: |module| !["tail", "parse", "policy", "report"].contains(&module),
        rule: "tail, parse, policy and report know nothing of aya",
    },
    Arrow {
        pattern: r"\baya::(\{[^;]*\b)?maps\b",
        is_allowed: |module| module == "blocklist",
        rule: "only blocklist speaks to maps",
    },
    Arrow {
        pattern: r"\baya::(\{[^;]*\b)?programs\b",
        is_allowed: |module| module == "attach",
        rule: "only attach speaks to programs and links",
    },
];

/// Looks at every source file of the workspace.
///
/// # Errors
///
/// One line for each breach: the file, and what the rule is.
pub fn check() -> Result<()> {
    let mut breaches = Vec::new();
    let metadata = MetadataCommand::new().no_deps().exec()?;
    for package in &metadata.packages {
        let src = package.manifest_path.with_file_name("src");
        for path in sources(src.as_std_path())? {
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            let inside = path.strip_prefix(&src)?;
            let mut found = shape(inside, &text);
            if package.name == "spamdrop" {
                found.extend(arrows(inside, &text)?);
            }
            let src = src.strip_prefix(&metadata.workspace_root)?;
            breaches.extend(found.iter().map(|breach| format!("\n{src}/{breach}")));
        }
    }
    ensure!(
        breaches.is_empty(),
        "rules of the house:{}",
        breaches.concat()
    );
    Ok(())
}

/// Every `.rs` file below a directory.
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
    // A test is read alone, so a file of tests may be long.
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
        breaches.push(format!("{}: a name that says nothing", path.display()));
    }
    breaches
}

fn arrows(path: &Path, text: &str) -> Result<Vec<String>> {
    let module = path.iter().next().map(Path::new).and_then(Path::file_stem);
    let module = module.unwrap_or_default().to_string_lossy();
    let mut breaches = Vec::new();
    for Arrow {
        pattern,
        is_allowed,
        rule,
    } in &ARROWS
    {
        if !is_allowed(&module)
            && let Some(found) = Regex::new(pattern)?.find(text)
        {
            let line = 1 + text.as_bytes()[..found.start()]
                .iter()
                .filter(|byte| **byte == b'\n')
                .count();
            breaches.push(format!("{}:{line}: {rule}", path.display()));
        }
    }
    Ok(breaches)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    fn breaches(path: &str, text: &str) -> usize {
        arrows(Path::new(path), text).unwrap().len()
    }

    #[test]
    fn pure_modules_must_not_mention_aya() {
        assert_eq!(breaches("tail/file.rs", "use aya_obj::Object;"), 1);
        assert_eq!(breaches("report.rs", "fn a(map: &aya::Ebpf)"), 1);
        assert_eq!(breaches("tail/file.rs", "let ayacucho = 1;"), 0);
        assert_eq!(breaches("attach.rs", "use aya::Ebpf;"), 0);
    }

    #[test]
    fn maps_and_programs_belong_to_one_module_each() {
        let maps = "use aya::maps::HashMap;";
        assert_eq!(breaches("blocklist/entries.rs", maps), 0);
        assert_eq!(breaches("attach/mod.rs", maps), 1);
        let programs = "use aya::{\n    Ebpf,\n    programs::{Xdp, XdpMode},\n};";
        assert_eq!(breaches("attach.rs", programs), 0);
        assert_eq!(breaches("blocklist.rs", programs), 1);
        let neither = "use aya::Ebpf;\nfn programs() { maps() }";
        assert_eq!(breaches("daemon.rs", neither), 0);
    }

    #[test]
    fn a_breach_names_its_line() {
        let found = arrows(
            Path::new("policy/mod.rs"),
            "//! Decides.\n\nuse aya::Ebpf;\n",
        );
        assert_eq!(
            found.unwrap(),
            ["policy/mod.rs:3: tail, parse, policy and report know nothing of aya"]
        );
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
