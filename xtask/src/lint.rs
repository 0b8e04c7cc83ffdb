//! Clippy, the compiler's warnings, the rules of the house, and the man pages.

use anyhow::{Result, bail, ensure};

use crate::{
    command::{HOST_PACKAGES, cargo, command_line, run},
    dependencies, house, man, modules, say, setup,
    tally::Tally,
    test::FEATURE,
};

/// Makes every check.
///
/// # Errors
///
/// Where the checks cannot be made at all; a check that fails only counts.
pub fn lint() -> Result<Tally> {
    setup::components(&[setup::CLIPPY])?;
    setup::building()?;
    let mut tally = Tally::default();
    tally.check(clippy(&["--all-targets", "--all-features"]));
    tally.check(clippy(&["--no-default-features"]));
    tally.check(clippy_ebpf("spamdrop-ebpf", &[]));
    tally.check(clippy_ebpf("spamdrop-ebpf", &["--no-default-features"]));
    tally.check(clippy_ebpf("spamdrop-bench-ebpf", &[]));
    tally.check(builds_without_warnings());
    tally.check(structure());
    tally.check(man::check());
    Ok(tally)
}

/// Which module may name which, and what each may use.
///
/// # Errors
///
/// One line for each breach.
pub fn structure() -> Result<()> {
    let checks = [modules::check(), house::check(), dependencies::check_core()];
    let failed = checks.into_iter().filter_map(Result::err);
    let failed: Vec<String> = failed.map(|error| format!("{error:#}")).collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(())
}

fn clippy(arguments: &[&str]) -> Result<()> {
    let mut command = cargo(["clippy"]);
    command.args(HOST_PACKAGES);
    run(command.args(arguments).args(["--", "-Dwarnings"]))
}

/// The target and flags are those of aya-build: `bpf_target_arch` selects
/// code, so without it other lines would be looked at than are built.
fn clippy_ebpf(package: &str, features: &[&str]) -> Result<()> {
    let target = if cfg!(target_endian = "big") {
        "bpfeb-unknown-none"
    } else {
        "bpfel-unknown-none"
    };
    let arch = std::env::consts::ARCH;
    let mut command = cargo(["clippy", "--package", package, "--bins"]);
    command.args(["--target", target, "-Zbuild-std=core"]);
    command.args(features).args(["--", "-Dwarnings"]);
    command.env("RUSTC_BOOTSTRAP", "1");
    command.env(
        "CARGO_ENCODED_RUSTFLAGS",
        format!("--cfg=bpf_target_arch=\"{arch}\"\x1f-Cdebuginfo=2\x1f-Clink-arg=--btf"),
    );
    run(&mut command)
}

/// cargo repeats the warnings of what it built before; those of the packet
/// filter come through the build script. What is built is what every test
/// needs.
fn builds_without_warnings() -> Result<()> {
    say("building without warnings");
    let mut build = cargo(["test", "--no-run", "--features", FEATURE]);
    let out = build.args(HOST_PACKAGES).output()?;
    let said = String::from_utf8_lossy(&out.stderr);
    if !out.status.success() {
        bail!("`{}` failed: {}\n{said}", command_line(&build), out.status);
    }
    ensure!(
        !said.contains("warning"),
        "`{}` warns:\n{said}",
        command_line(&build)
    );
    Ok(())
}
