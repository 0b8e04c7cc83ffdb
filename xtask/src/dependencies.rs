//! `cargo xtask dependencies`: counts the dependencies of the product's crates.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::{Dependency, DependencyKind, Metadata, MetadataCommand, Package};

/// The product's crates.
const PRODUCT: [&str; 4] = [
    "spamdrop",
    "spamdrop-core",
    "spamdrop-common",
    "spamdrop-ebpf",
];
/// Maximum number of direct dependencies of all product crates together. Crates
/// of the workspace, dev-dependencies and build-dependencies are not counted.
const MOST: usize = 38;

/// The crate that makes every decision, and its permitted dependencies: none
/// reads a file, a clock or a socket.
const CORE: &str = "spamdrop-core";
const OF_CORE: [&str; 8] = [
    "aho-corasick",
    "ipnet",
    "jiff",
    "memchr",
    "regex",
    "regex-automata",
    "serde",
    "spamdrop-common",
];
/// Features of jiff that read the machine's time zone.
const SYSTEM_ZONE: [&str; 3] = ["default", "tz-system", "tzdb-zoneinfo"];

/// Prints the number of dependencies.
///
/// # Errors
///
/// As [`check_core`], and if there are more than [`MOST`].
pub fn run() -> Result<()> {
    let metadata = MetadataCommand::new().no_deps().exec()?;
    let together = together(&metadata);
    for name in PRODUCT {
        let package = package(&metadata, name)?;
        let mut direct: Vec<&str> = normal(package).map(|one| one.name.as_str()).collect();
        direct.sort_unstable();
        println!("{name}: {} ({})", direct.len(), direct.join(", "));
    }
    println!("{} direct dependencies, at most {MOST}", together.len());
    core_is_pure(package(&metadata, CORE)?)?;
    ensure!(
        together.len() <= MOST,
        "the product has {} direct dependencies, more than {MOST}",
        together.len()
    );
    Ok(())
}

/// Checks the dependencies of the decision crate.
///
/// # Errors
///
/// The crate depends on one that is not permitted, or enables a feature of jiff
/// that reads the time zone.
pub fn check_core() -> Result<()> {
    core_is_pure(package(&MetadataCommand::new().no_deps().exec()?, CORE)?)
}

fn package<'a>(metadata: &'a Metadata, name: &str) -> Result<&'a Package> {
    let mut all = metadata.packages.iter();
    all.find(|package| package.name == name)
        .with_context(|| format!("there is no package {name}"))
}

fn normal(package: &Package) -> impl Iterator<Item = &Dependency> {
    let all = package.dependencies.iter();
    all.filter(|one| one.kind == DependencyKind::Normal)
}

/// The external crates on which the product's crates depend.
fn together(metadata: &Metadata) -> BTreeSet<&str> {
    let product = metadata.packages.iter();
    product
        .filter(|package| PRODUCT.contains(&package.name.as_str()))
        .flat_map(normal)
        .filter(|one| one.path.is_none())
        .map(|one| one.name.as_str())
        .collect()
}

fn core_is_pure(core: &Package) -> Result<()> {
    let found: BTreeSet<&str> = normal(core).map(|one| one.name.as_str()).collect();
    let expected = BTreeSet::from(OF_CORE);
    ensure!(
        found == expected,
        "{CORE} depends on {found:?}, not on {expected:?}"
    );
    for jiff in normal(core).filter(|one| one.name == "jiff") {
        let looks = jiff
            .features
            .iter()
            .any(|f| SYSTEM_ZONE.contains(&f.as_str()));
        ensure!(
            !looks && !jiff.uses_default_features,
            "{CORE} lets jiff look for the machine's time zone"
        );
    }
    Ok(())
}
