//! The list of the crates in the program, in the form of cargo-auditable
//! (<https://github.com/rust-secure-code/cargo-auditable/blob/master/PARSING.md>):
//! compressed JSON in the section `.dep-v0`. `cargo audit bin` and other
//! scanners read it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use flate2::{Compression, write::ZlibEncoder};
use serde_json::{Value, json};

use crate::command::{cargo, output, run};

/// The section's name.
const SECTION: &str = ".dep-v0";

/// Adds the list to a program.
///
/// # Errors
///
/// The command that failed.
pub fn embed(program: &Path) -> Result<()> {
    let mut list = tempfile::NamedTempFile::new()?;
    list.write_all(&compressed(&list_json()?)?)?;
    let mut add = Command::new("objcopy");
    add.arg(format!("--add-section={SECTION}={}", list.path().display()));
    add.arg(format!("--set-section-flags={SECTION}=noload,readonly"));
    run(add.arg(program))
}

fn compressed(list: &Value) -> Result<Vec<u8>> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(list.to_string().as_bytes())?;
    Ok(encoder.finish()?)
}

/// Reads the list of a program.
///
/// # Errors
///
/// The program has none, or it cannot be read.
pub fn read(program: &Path) -> Result<Value> {
    let section = tempfile::NamedTempFile::new()?;
    let mut dump = Command::new("objcopy");
    dump.arg(format!(
        "--dump-section={SECTION}={}",
        section.path().display()
    ));
    run(dump.arg(program).arg("/dev/null"))?;
    let json = flate2::read::ZlibDecoder::new(section.reopen()?);
    serde_json::from_reader(json).context("the list of crates is no JSON")
}

/// A crate, as `cargo tree` prints it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    is_registered: bool,
}

/// The list of the program's crates, from the output of `cargo tree`.
fn list_json() -> Result<Value> {
    let tree = |edges| {
        let mut tree = cargo(["tree", "--package", "spamdrop", "--charset", "ascii"]);
        tree.args(["--edges", edges, "--prefix", "depth", "--no-dedupe"]);
        output(tree.args(["--format", " {p}"]))
    };
    let program = edges(&tree("normal")?)?;
    let built = edges(&tree("normal,build")?)?;
    Ok(list(&program, &built))
}

type Edges = BTreeMap<Crate, BTreeSet<Crate>>;

/// Reads from `cargo tree --prefix depth` which crates each crate uses.
fn edges(tree: &str) -> Result<Edges> {
    let mut edges = Edges::new();
    let mut above: Vec<Crate> = Vec::new();
    for line in tree.lines() {
        let (depth, package) = line.split_once(' ').context("a line without a blank")?;
        let package = package_of(package).with_context(|| format!("cargo tree: {line}"))?;
        above.truncate(depth.parse()?);
        edges.entry(package.clone()).or_default();
        if let Some(user) = above.last() {
            edges
                .entry(user.clone())
                .or_default()
                .insert(package.clone());
        }
        above.push(package);
    }
    Ok(edges)
}

/// Parses `name v1.0.0`. A path follows if the crate is in this workspace.
fn package_of(text: &str) -> Option<Crate> {
    let mut words = text.split(' ').filter(|word| *word != "(proc-macro)");
    Some(Crate {
        name: words.next()?.to_owned(),
        version: words.next()?.strip_prefix('v')?.to_owned(),
        is_registered: words.next().is_none(),
    })
}

/// Makes the list. A crate that only the build scripts use has the kind `build`.
fn list(program: &Edges, built: &Edges) -> Value {
    let index: BTreeMap<&Crate, usize> = built.keys().zip(0..).collect();
    let packages = built.iter().map(|(package, uses)| {
        let is_built_in = program.contains_key(package);
        let mut entry = json!({
            "name": package.name,
            "version": package.version,
            "source": if package.is_registered { "crates.io" } else { "local" },
            "kind": if is_built_in { "runtime" } else { "build" },
            "dependencies": uses.iter().map(|used| index[used]).collect::<Vec<_>>(),
        });
        if package.name == "spamdrop" {
            entry["root"] = true.into();
        }
        entry
    });
    json!({ "packages": packages.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn crates_with_kinds_sources_and_dependencies() {
        let program = edges("0 spamdrop v0.1.0 (/src/spamdrop)\n1 log v0.4.1\n").unwrap();
        let built = edges(
            "0 spamdrop v0.1.0 (/src/spamdrop)\n1 log v0.4.1\n1 derive v1.0.0 (proc-macro)\n2 log v0.4.1\n",
        )
        .unwrap();
        assert_eq!(
            list(&program, &built),
            json!({ "packages": [
                { "name": "derive", "version": "1.0.0", "source": "crates.io", "kind": "build", "dependencies": [1] },
                { "name": "log", "version": "0.4.1", "source": "crates.io", "kind": "runtime", "dependencies": [] },
                { "name": "spamdrop", "version": "0.1.0", "source": "local", "kind": "runtime", "dependencies": [0, 1], "root": true },
            ]})
        );
    }
}
