//! Where the crates of the workspace come from, and under which licences.

use anyhow::{Context as _, Result, bail, ensure};
use cargo_metadata::{MetadataCommand, Package};
use spdx::expression::Expression;
use spdx::{LicenseReq, ParseMode};

/// The only source of crates that are not in this repository.
const SOURCE: &str = "registry+https://github.com/rust-lang/crates.io-index";
/// Licences that only ask that the program comes with their text.
const PERMITTED: [&str; 7] = [
    "Apache-2.0",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "NCSA",
    "Unicode-3.0",
    "Zlib",
];
/// Crates that may not be used, and why.
const BANNED: [(&str, &str); 3] = [
    ("libbpf-sys", "the kernel is reached by aya"),
    ("native-tls", "nothing here encrypts"),
    ("openssl-sys", "nothing here encrypts"),
];

/// Checks the source, the licence and the name of every crate.
///
/// # Errors
///
/// The error has one line for each breach.
pub fn check() -> Result<()> {
    let metadata = MetadataCommand::new().exec()?;
    let checked = metadata.packages.iter().map(check_crate);
    let failed: Vec<String> = checked
        .filter_map(Result::err)
        .map(|error| format!("{error:#}"))
        .collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

fn check_crate(package: &Package) -> Result<()> {
    let (name, version) = (&package.name, &package.version);
    if let Some((_, reason)) = BANNED.iter().find(|(banned, _)| *banned == name.as_str()) {
        bail!("{name} {version} may not be used: {reason}");
    }
    let source = package.source.as_ref().map(|source| source.repr.as_str());
    if let Some(source) = source.filter(|source| *source != SOURCE) {
        bail!("{name} {version} comes from {source}, not from crates.io");
    }
    let licence = package.license.as_deref();
    let licence = licence.with_context(|| format!("{name} {version} names no licence"))?;
    ensure!(
        is_permitted(licence).with_context(|| format!("{name} {version}"))?,
        "{name} {version} is under {licence}, which is not permitted"
    );
    Ok(())
}

fn is_permitted(licence: &str) -> Result<bool> {
    let expression = Expression::parse_mode(licence, ParseMode::LAX)
        .map_err(|error| anyhow::anyhow!("the licence `{licence}`: {error}"))?;
    let is_one = |asked: &LicenseReq| {
        let id = asked.license.id();
        asked.addition.is_none() && id.is_some_and(|id| PERMITTED.contains(&id.name))
    };
    Ok(expression.evaluate(is_one))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use super::*;

    #[test]
    fn one_of_several_licences_suffices_and_all_of_joined_ones_are_needed() {
        for (licence, expected) in [
            ("MIT", true),
            ("MIT/Apache-2.0", true),
            ("MIT OR GPL-3.0-only", true),
            ("GPL-3.0-only", false),
            ("MIT AND GPL-3.0-only", false),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("Apache-2.0 WITH LLVM-exception", false),
        ] {
            assert_eq!(is_permitted(licence).unwrap(), expected, "{licence}");
        }
        assert!(is_permitted("MIT or so").is_err());
    }

    #[test]
    fn each_breach_is_named() {
        let metadata = MetadataCommand::new().exec().unwrap();
        let named = |name: &str| {
            metadata
                .packages
                .iter()
                .find(|one| one.name == name)
                .unwrap()
        };
        let mut package = named("anyhow").clone();
        package.license = None;
        let text = format!("{:#}", check_crate(&package).unwrap_err());
        assert!(text.ends_with("names no licence"), "{text}");
        package.license = Some("GPL-2.0-only".into());
        let text = format!("{:#}", check_crate(&package).unwrap_err());
        assert!(
            text.ends_with("is under GPL-2.0-only, which is not permitted"),
            "{text}"
        );
        package.source.as_mut().unwrap().repr = "git+https://git.example/anyhow".into();
        let text = format!("{:#}", check_crate(&package).unwrap_err());
        assert!(
            text.contains("comes from git+https://git.example/anyhow"),
            "{text}"
        );
        package.name = serde_json::from_value("libbpf-sys".into()).unwrap();
        let text = format!("{:#}", check_crate(&package).unwrap_err());
        assert!(text.contains("may not be used: the kernel"), "{text}");
    }
}
