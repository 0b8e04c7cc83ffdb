//! Clippy, the compiler's warnings, the house rules, the man pages, and systemd's units.

use anyhow::{Result, bail, ensure};

use crate::{
    command::{HOST_PACKAGES, cargo, command_line, run},
    dependencies, house, man, modules, origins, say, setup,
    tally::Tally,
    test::FEATURE,
    unit, words,
};

/// Runs every check.
///
/// # Errors
///
/// The checks cannot be run. A check that fails is counted and is not an error.
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
    tally.check(unit::check());
    Ok(tally)
}

/// Checks the layers of the modules, that every type name is unique, the
/// identifiers that only some modules may use, the lengths of files, the
/// dependencies of spamdrop-core, the origin and licence of every crate, and that
/// no retired word is back.
///
/// # Errors
///
/// The error has one line for each breach.
pub fn structure() -> Result<()> {
    let checks = [
        modules::check(),
        modules::types(),
        house::check(),
        dependencies::check_core(),
        origins::check(),
        words::check(),
    ];
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

/// Runs clippy with the target and flags of aya-build. The code depends on
/// `bpf_target_arch`; without it, clippy would check other lines than are
/// built.
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

/// Builds everything and fails if the output contains a warning. cargo repeats
/// the warnings of earlier builds; those of the packet filter appear through
/// the build script. The tests need this build anyway.
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
