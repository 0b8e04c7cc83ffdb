//! Builds the systems that are booted, and keeps them below the target directory.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use cargo_metadata::MetadataCommand;

use crate::{
    command::{as_root, find, output, run},
    say,
};

use super::SCRIPTS;

/// The content of the scripts on which a built system depends.
const BUILD: [&str; 3] = [
    include_str!("build.sh"),
    include_str!("download.sh"),
    include_str!("initrd.sh"),
];

/// A Debian with kernels.
pub struct System<'a> {
    /// The name of its directory.
    pub name: &'a str,
    /// The release.
    pub suite: String,
    /// Its packages, beside those that every Debian has.
    pub packages: &'a str,
    /// The command that changes the new system, and the content of its script.
    pub change: (&'a str, &'a str),
    /// The release that has the kernels.
    pub kernel_suite: &'a str,
    /// The kernels, and patterns of their packages.
    pub kernels: &'a [(&'static str, &'static str)],
}

impl System<'_> {
    /// Builds the root file system, the kernels and the initrds, unless that
    /// has been done by the same scripts and for the same packages. Returns their
    /// directory.
    ///
    /// # Errors
    ///
    /// Names the command that failed.
    pub fn build_if_outdated(&self) -> Result<PathBuf> {
        let (name, suite, packages) = (self.name, &self.suite, self.packages);
        let system = directory()?.join(name);
        let recipe = system.join("recipe");
        let wanted = self.recipe()?;
        if fs::read_to_string(&recipe).is_ok_and(|made| made == wanted) {
            return Ok(system);
        }
        say(&format!("building a Debian {suite} for guests: {packages}"));
        fs::create_dir_all(directory()?)?;
        // The final name exists only when everything is built.
        let incomplete = directory()?.join(format!("{name}.incomplete"));
        for directory in [&incomplete, &system] {
            let mut remove = Command::new("rm");
            remove.args(["-rf", "--one-file-system"]).arg(directory);
            run(&mut as_root(remove)?)?;
        }
        fs::create_dir(&incomplete)?;
        let mut build = Command::new("sh");
        build.arg(Path::new(SCRIPTS).join("build.sh"));
        build.arg(&incomplete).args([suite, packages]);
        build.args([self.change.0, self.kernel_suite]);
        let kernels = self.kernels.iter();
        build.args(kernels.map(|(version, pattern)| format!("{version}={pattern}")));
        run(&mut as_root(build)?)?;
        fs::write(incomplete.join("recipe"), wanted)?;
        fs::rename(&incomplete, &system)?;
        Ok(system)
    }

    /// Everything on which the built system depends. Backports get a new kernel every
    /// few weeks, so for them the recipe includes the month.
    fn recipe(&self) -> Result<String> {
        let (suite, packages, kernels) = (&self.suite, self.packages, self.kernels);
        let (change, script) = self.change;
        let suites = format!("{suite} {}", self.kernel_suite);
        let month = match self.kernel_suite.ends_with("-backports") {
            true => output(Command::new("date").args(["--utc", "+ %Y-%m"]))?,
            false => String::new(),
        };
        let month = month.trim_end();
        Ok(format!(
            "{suites}{month} {packages} {kernels:?} {change}\n{script}{}",
            BUILD.concat()
        ))
    }
}

/// Where the systems are, and the output of the guests.
///
/// # Errors
///
/// cargo does not tell its target directory.
pub fn directory() -> Result<PathBuf> {
    let target = MetadataCommand::new().no_deps().exec()?.target_directory;
    Ok(target.join("vm").into())
}

/// Makes a disk with these files, by the names that the guest sees.
///
/// # Errors
///
/// A file cannot be copied, or mke2fs is missing or fails.
pub fn pack(disk: &Path, size: &str, files: &[(&Path, &str)]) -> Result<()> {
    let directory = tempfile::tempdir()?;
    for (from, name) in files {
        let to = directory.path().join(name);
        if let Some(above) = to.parent() {
            fs::create_dir_all(above)?;
        }
        fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        // The guest executes some of the files.
        fs::set_permissions(&to, Permissions::from_mode(0o755))?;
    }
    let _ = fs::remove_file(disk);
    let mke2fs = find("mke2fs").context("there is no mke2fs; install e2fsprogs")?;
    let mut make = Command::new(mke2fs);
    make.args(["-q", "-t", "ext4", "-O", "^has_journal", "-d"]);
    make.arg(directory.path()).arg(disk).arg(size);
    output(&mut make).map(drop)
}
