//! The Debian package: `cargo xtask dist` builds it with Debian's own tools
//! from spamdrop/dist, and checks it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use cargo_metadata::{Message, MetadataCommand};
use clap::Args;

use crate::{
    command::{cargo, output},
    compiler::{Crates, add_flags},
    man, say, setup,
    tally::Tally,
};

mod check;
mod crates;
mod nested;
mod older;
mod package;
mod tarball;
mod twice;

use crate::vm::package::Packages;
use package::{Built, Package};

/// A version above that of every real package, for the test of an upgrade.
const NEWER: &str = "9999";

/// Options of `cargo xtask dist`.
#[derive(Args)]
pub struct Options {
    /// The profile of cargo with which the program is built
    #[arg(long, default_value = "release")]
    profile: String,
    /// Build a tarball with a static program instead of the package
    #[arg(long)]
    tarball: bool,
}

/// Builds the program and the package, and checks the package.
///
/// # Errors
///
/// The command that failed, or what is wrong with the package.
pub fn run(options: &Options) -> Result<()> {
    setup::building()?;
    setup::packaging()?;
    if options.tarball {
        return tarball(&options.profile);
    }
    let built = Built {
        program: program(&options.profile, None)?,
        pages: man::build()?,
    };
    let package = Package::new(&built, &directory()?.join("package"))?;
    let path = package.build()?;
    check::package(&path)?;
    let shown = publish(&path)?;
    say(&format!("wrote {shown}; `apt install {shown}` installs it"));
    Ok(())
}

fn tarball(profile: &str) -> Result<()> {
    setup::static_building()?;
    let built = Built {
        program: program(profile, Some(tarball::TARGET))?,
        pages: man::build()?,
    };
    let path = tarball::build(&built, &directory()?.join("tarball"))?;
    let shown = publish(&path)?;
    say(&format!("wrote {shown}"));
    Ok(())
}

/// Moves a package or tarball to the directory for finished ones. Returns its path.
fn publish(path: &Path) -> Result<String> {
    let name = path.file_name().context("a file without a name")?;
    let wanted = directory()?.join(name);
    fs::rename(path, &wanted)?;
    Ok(wanted.display().to_string())
}

/// Builds and checks the package of `program`, and checks that a second build gives the
/// same package. Returns this package, one with a higher version and, if `full`, the
/// package of the last version whose maps have an older layout.
///
/// # Errors
///
/// The packages cannot be built. A check that fails is counted and is not an
/// error.
pub fn test(program: &Path, full: bool, tally: &mut Tally) -> Result<Packages> {
    setup::packaging()?;
    let built = Built {
        program: program.into(),
        pages: man::build()?,
    };
    let directory = directory()?;
    let package = |name| anyhow::Ok(Package::new(&built, &directory.join(name))?.compressed_fast());
    let this = package("test")?.build()?;
    tally.check(check::package(&this));
    tally.check(twice::compare(&built, &this));
    if full {
        tally.check(tarball("dev"));
        tally.check(twice::compare_whole());
    }
    let newer = package("newer")?;
    newer.set_version(NEWER)?;
    Ok(Packages {
        this,
        newer: newer.build()?,
        older: full.then(older::package).transpose()?,
    })
}

/// Where cargo keeps its files.
fn cargo_home() -> Result<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(env::home_dir()?.join(".cargo")));
    home.context("neither CARGO_HOME nor HOME is set")
}

/// Where packages are built.
fn directory() -> Result<PathBuf> {
    let target = MetadataCommand::new().no_deps().exec()?.target_directory;
    Ok(target.join("dist").into())
}

/// Makes cargo build a program that names fixed directories in place of this machine's.
fn hide_directories(cargo: &mut Command) -> Result<()> {
    let root = env::current_dir()?.canonicalize()?;
    let flag = |from: &Path, to| format!("--remap-path-prefix={}={to}", from.display());
    let flags = [
        flag(&root, "/spamdrop"),
        flag(&cargo_home()?, "/cargo"),
        flag(&setup::sysroot()?, "/rust"),
    ];
    add_flags(cargo, Crates::All, &flags)
}

/// Builds the program without any path of this machine in it, so that builds in other
/// directories and by other users give the same file. Without a target, the program is
/// for this machine.
fn program(profile: &str, target: Option<&str>) -> Result<PathBuf> {
    let mut build = cargo(["build", "--package", "spamdrop", "--bin", "spamdrop"]);
    build.args(["--profile", profile]);
    if let Some(target) = target {
        build.args(["--target", target]);
    }
    hide_directories(&mut build)?;
    // In its usual directory, cargo would reuse objects that were compiled without the
    // wrapper.
    build.env("CARGO_TARGET_DIR", directory()?.join("build"));
    build
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    build.arg("--message-format=json-render-diagnostics");
    let messages = output(&mut build)?;
    let artifacts = Message::parse_stream(messages.as_bytes());
    let mut programs = artifacts.filter_map(|message| match message {
        Ok(Message::CompilerArtifact(artifact)) => artifact.executable,
        _ => None,
    });
    let program = programs.next().context("cargo built no program")?;
    Ok(program.into())
}
