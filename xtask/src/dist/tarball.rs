//! The tarball with a static program, for systems without Debian's packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::package::{Built, Package};
use crate::command::{output, run};

/// The target of the static program.
pub const TARGET: &str = "x86_64-unknown-linux-musl";

/// The files of the package's tree that go elsewhere in the tarball.
const MOVED: [(&str, &str); 7] = [
    ("built/spamdrop", "spamdrop"),
    ("built/man", "man"),
    ("built/bash", "completions/bash"),
    ("built/fish", "completions/fish"),
    ("built/zsh", "completions/zsh"),
    ("debian/spamdrop.service", "spamdrop.service"),
    ("debian/spamdrop.sysusers", "sysusers.conf"),
];
const LICENCES: [&str; 2] = ["LICENSE-APACHE", "LICENSE-MIT"];

/// Packs the static program with the files that the package has.
///
/// # Errors
///
/// The program is not static, or the command that failed.
pub fn build(built: &Built, directory: &Path) -> Result<PathBuf> {
    ensure_static(&built.program)?;
    let tree = Package::new(built, directory)?.into_tree();
    let field = |name: &str| {
        let mut parse = Command::new("dpkg-parsechangelog");
        parse.arg("-l").arg(tree.join("debian/changelog"));
        anyhow::Ok(output(parse.args(["-S", name]))?.trim().to_owned())
    };
    let (version, time) = (field("Version")?, field("Timestamp")?);
    fs::create_dir(tree.join("completions"))?;
    for (from, to) in MOVED {
        fs::rename(tree.join(from), tree.join(to)).context(from)?;
    }
    for name in LICENCES {
        fs::copy(name, tree.join(name)).context(name)?;
    }
    fs::remove_dir(tree.join("built"))?;
    fs::remove_dir_all(tree.join("debian"))?;
    run(Command::new("strip").arg(tree.join("spamdrop")))?;
    let name = format!("spamdrop-{version}-{TARGET}");
    fs::rename(&tree, directory.join(&name))?;
    let path = directory.join(format!("{name}.tar.xz"));
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"]);
    tar.args(["--mode=u+rw,go+rX,go-w", &format!("--mtime=@{time}")]);
    tar.arg("-cJf")
        .arg(&path)
        .arg("-C")
        .arg(directory)
        .arg(&name);
    run(&mut tar)?;
    Ok(path)
}

/// Checks that the program needs no shared library and no dynamic loader.
fn ensure_static(program: &Path) -> Result<()> {
    let headers = output(Command::new("objdump").arg("-p").arg(program))?;
    let mut needs = headers.lines().map(str::trim_start);
    let needed = needs.find(|line| line.starts_with("NEEDED") || line.starts_with("INTERP"));
    ensure!(
        headers.contains("LOAD") && needed.is_none(),
        "{} is not static: {needed:?}",
        program.display()
    );
    Ok(())
}
