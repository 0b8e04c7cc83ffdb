//! `cargo xtask lines [REVISION]`: counts the product's lines of code, without
//! comments, blank lines and tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use clap::Args;

use crate::command::{output, run as run_command};
use crate::source::read_crate;

/// The sources of the product's crates. Some may not exist in an old revision.
const CRATES: [&str; 4] = [
    "spamdrop-common/src",
    "spamdrop-ebpf/src",
    "spamdrop/core/src",
    "spamdrop/src",
];

/// Options of `cargo xtask lines`.
#[derive(Args)]
pub struct Options {
    /// Count a commit of git, not the working tree
    revision: Option<String>,
}

/// Counts the lines of each crate, and prints them with their sum.
///
/// # Errors
///
/// The commit does not exist, or one of its files is not Rust.
pub fn run(options: &Options) -> Result<()> {
    let directory = tempfile::tempdir()?;
    let root = match &options.revision {
        Some(revision) => {
            check_out(revision, directory.path())?;
            directory.path()
        }
        None => Path::new(""),
    };
    let mut sum = 0;
    for name in CRATES {
        let lines = count(&root.join(name))?;
        println!("{lines:6} {name}");
        sum += lines;
    }
    println!("{sum:6} lines of code");
    Ok(())
}

fn check_out(revision: &str, directory: &Path) -> Result<()> {
    let archive = directory.join("archive.tar");
    let mut git = Command::new("git");
    git.args(["archive", "--output"])
        .arg(&archive)
        .arg(revision);
    let there = output(Command::new("git").args(["ls-tree", "-d", "--name-only", "-r", revision]))?;
    let there = there.lines();
    git.args(there.filter(|path| CRATES.contains(path)));
    run_command(&mut git)?;
    let mut tar = Command::new("tar");
    run_command(tar.arg("xf").arg(&archive).arg("-C").arg(directory))
}

/// Counts the code lines of every file that is reachable from a crate's roots.
fn count(source: &Path) -> Result<usize> {
    let roots = ["lib.rs", "main.rs"].map(|root| source.join(root));
    let mut files: BTreeMap<PathBuf, usize> = BTreeMap::new();
    for root in roots.iter().filter(|root| root.is_file()) {
        let read = read_crate(root)?.into_iter();
        files.extend(read.map(|file| (file.path, file.lines.len())));
    }
    ensure!(
        !files.is_empty() || !source.exists(),
        "{}: no lib.rs or main.rs",
        source.display()
    );
    Ok(files.values().sum())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use std::fs;

    use super::*;

    #[test]
    fn comments_blank_lines_and_tests_do_not_count() {
        let root = tempfile::tempdir().unwrap();
        let library = "//! Counts.\n\nmod a;\n\n/// One.\nfn f() {\n    // Two.\n}\n\n\
                       #[cfg(test)]\nmod tests {\n    fn g() {}\n}\n";
        fs::write(root.path().join("lib.rs"), library).unwrap();
        fs::write(root.path().join("a.rs"), "const A: &str = \"\n\n\";\n").unwrap();
        fs::write(root.path().join("main.rs"), "mod a;\nfn main() {}\n").unwrap();
        assert_eq!(count(root.path()).unwrap(), 3 + 3 + 2);
        assert_eq!(count(&root.path().join("missing")).unwrap(), 0);
    }
}
