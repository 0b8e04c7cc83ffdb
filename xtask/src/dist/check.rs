//! The rules for a package.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::command::{command_line, output, run};

use super::crates;

/// The greatest version of glibc that the program may need: that of Ubuntu
/// 22.04. Debian 12 has 2.36.
const GLIBC: (u32, u32) = (2, 35);

/// The packages on which the package may depend. Each is in Debian 12 and
/// Ubuntu 22.04, which also have these versions.
const DEPENDENCIES: [&str; 3] = [
    "libc6 (>= 2.34)",
    "libgcc-s1 (>= 4.2)",
    "systemd | systemd-standalone-sysusers | systemd-sysusers",
];

/// Checks a package.
///
/// # Errors
///
/// The package breaks a rule, or a tool that checks it fails.
pub fn package(path: &Path) -> Result<()> {
    lintian(path)?;
    dependencies(path)?;
    let unpacked = tempfile::tempdir()?;
    run(Command::new("dpkg-deb")
        .arg("--extract")
        .arg(path)
        .arg(unpacked.path()))?;
    let program = unpacked.path().join("usr/sbin/spamdrop");
    glibc(&program)?;
    let list = crates::read(&program)?;
    let count = list["packages"].as_array().map_or(0, Vec::len);
    ensure!(count > 100, "the program's list has only {count} crates");
    Ok(())
}

/// Fails for every tag of lintian, except those that spamdrop.lintian-overrides hides
/// with a reason.
fn lintian(path: &Path) -> Result<()> {
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--pedantic"]);
    let out = lintian
        .arg(path)
        .output()
        .with_context(|| format!("cannot start `{}`", command_line(&lintian)))?;
    ensure!(
        out.status.success() && out.stdout.is_empty(),
        "`{}`: {}\n{}{}",
        command_line(&lintian),
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    Ok(())
}

fn dependencies(path: &Path) -> Result<()> {
    let field = output(
        Command::new("dpkg-deb")
            .arg("--field")
            .arg(path)
            .arg("Depends"),
    )?;
    for dependency in field.trim().split(", ") {
        ensure!(
            DEPENDENCIES.contains(&dependency),
            "the package depends on `{dependency}`, which Debian 12 or Ubuntu 22.04 may lack"
        );
    }
    Ok(())
}

fn glibc(program: &Path) -> Result<()> {
    let symbols = output(Command::new("objdump").arg("--dynamic-syms").arg(program))?;
    let newer: Vec<&str> = symbols.lines().filter(|line| is_newer(line)).collect();
    ensure!(
        symbols.contains("GLIBC_") && newer.is_empty(),
        "the program needs symbols of a glibc newer than {GLIBC:?}:\n{}",
        newer.join("\n")
    );
    Ok(())
}

/// Whether a symbol is of a glibc newer than [`GLIBC`], as in `(GLIBC_2.38) strtol`.
fn is_newer(line: &str) -> bool {
    let version = line.split_once("GLIBC_").map(|(_, rest)| rest);
    let version =
        version.and_then(|rest| rest.split_once(|end: char| end != '.' && !end.is_ascii_digit()));
    let Some((version, _)) = version else {
        return false;
    };
    let mut numbers = version
        .split('.')
        .map_while(|number| number.parse::<u32>().ok());
    let number = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    number > GLIBC
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_a_newer_glibc() {
        let symbol = |version| format!("0000000000000000      DF *UND*\t0000 ({version}) open64");
        assert!(!is_newer(&symbol("GLIBC_2.2.5")));
        assert!(!is_newer(&symbol("GLIBC_2.35")));
        assert!(is_newer(&symbol("GLIBC_2.36")));
        assert!(is_newer(&symbol("GLIBC_3.0")));
        assert!(!is_newer("0000000000000000      DF *UND*\t0000 open64"));
    }
}
