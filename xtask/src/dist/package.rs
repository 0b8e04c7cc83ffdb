//! The source tree of the package, and its build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::command::{command_line, output, run};

use super::crates;

/// The files of the repository, and where the package's rules look for them.
const SOURCES: [(&str, &str); 13] = [
    ("spamdrop/dist/debian", "debian"),
    ("spamdrop/dist/spamdrop.service", "debian/spamdrop.service"),
    ("spamdrop/dist/sysusers.conf", "debian/spamdrop.sysusers"),
    ("spamdrop/dist/tmpfiles.conf", "debian/spamdrop.tmpfiles"),
    ("spamdrop/dist/examples", "examples"),
    ("spamdrop/dist/terminate.conf", "examples/terminate.conf"),
    (
        "spamdrop/dist/spamdrop-metrics.service",
        "examples/spamdrop-metrics.service",
    ),
    (
        "spamdrop/dist/spamdrop-metrics.timer",
        "examples/spamdrop-metrics.timer",
    ),
    ("spamdrop/dist/prometheus", "examples/prometheus"),
    ("spamdrop/dist/grafana", "examples/grafana"),
    ("spamdrop/spamdrop.toml", "examples/spamdrop.toml"),
    ("spamdrop/docs", "docs"),
    ("CHANGELOG.md", "CHANGELOG.md"),
];

/// The shells, and the files of their completions.
const SHELLS: [(&str, &str); 3] = [
    ("bash", "bash/spamdrop"),
    ("fish", "fish/spamdrop.fish"),
    ("zsh", "zsh/_spamdrop"),
];

/// The files that cargo has built.
pub struct Built {
    /// The program.
    pub program: PathBuf,
    /// The man pages.
    pub pages: Vec<PathBuf>,
}

/// A source tree for dpkg-buildpackage.
pub struct Package {
    tree: PathBuf,
    /// The level of xz, from 0; `None`: the default of dpkg-deb.
    level: Option<u8>,
}

impl Package {
    /// Makes the tree in this directory, which is emptied first.
    ///
    /// # Errors
    ///
    /// A file cannot be copied, or the command that failed.
    pub fn new(built: &Built, directory: &Path) -> Result<Self> {
        if directory.exists() {
            fs::remove_dir_all(directory)
                .with_context(|| format!("cannot empty {}", directory.display()))?;
        }
        let tree = directory.join("tree");
        for (from, to) in SOURCES {
            copy(Path::new(from), &tree.join(to))?;
        }
        // The package has the built man pages, not their sources.
        fs::remove_dir_all(tree.join("docs/man"))?;
        let package = Self { tree, level: None };
        package.add(built)?;
        Ok(package)
    }

    /// Sets the least compression, for tests: otherwise, it would take a minute to
    /// compress a program that is not optimised.
    pub fn compressed_fast(self) -> Self {
        let level = Some(0);
        Self { level, ..self }
    }

    /// Adds what cargo has built.
    fn add(&self, built: &Built) -> Result<()> {
        let directory = self.tree.join("built");
        for page in &built.pages {
            let name = page.file_name().context("a page without a name")?;
            copy(page, &directory.join("man").join(name))?;
        }
        for (shell, file) in SHELLS {
            let script = output(Command::new(&built.program).args(["completions", shell]))?;
            write(&directory.join(file), &script)?;
        }
        let program = directory.join("spamdrop");
        copy(&built.program, &program)?;
        crates::embed(&program)
    }

    /// Returns the directory of the source tree, of which the tarball is made.
    pub fn into_tree(self) -> PathBuf {
        self.tree
    }

    /// Replaces the version in the first line of the package's changelog.
    ///
    /// # Errors
    ///
    /// The changelog cannot be written.
    pub fn set_version(&self, version: &str) -> Result<()> {
        let path = self.tree.join("debian/changelog");
        let changelog = fs::read_to_string(&path)?;
        let (_, rest) = changelog.split_once(')').context("an empty changelog")?;
        write(&path, &format!("spamdrop ({version}){rest}"))
    }

    /// Builds the package.
    ///
    /// # Errors
    ///
    /// The output of dpkg-buildpackage, if it fails.
    pub fn build(&self) -> Result<PathBuf> {
        let mut build = Command::new("dpkg-buildpackage");
        build.args(["--build=binary", "--no-sign"]);
        self.build_with(build)
    }

    /// Builds the package by a command that runs dpkg-buildpackage.
    ///
    /// # Errors
    ///
    /// The output of the command, if it fails.
    pub fn build_with(&self, mut build: Command) -> Result<PathBuf> {
        build.current_dir(&self.tree).stdin(Stdio::null());
        // These variables could make debhelper leave parts out, or change the package.
        build.env_remove("DEB_BUILD_OPTIONS");
        build.env_remove("DEB_BUILD_PROFILES");
        build.env_remove("DPKG_DEB_COMPRESSOR_LEVEL");
        if let Some(level) = self.level {
            build.env("DPKG_DEB_COMPRESSOR_LEVEL", level.to_string());
        }
        let done = build
            .output()
            .with_context(|| format!("cannot start `{}`", command_line(&build)))?;
        let said = [done.stdout, done.stderr].concat();
        ensure!(
            done.status.success(),
            "`{}` failed: {}\n{}",
            command_line(&build),
            done.status,
            String::from_utf8_lossy(&said)
        );
        built_in(self.tree.parent().context("a tree without a directory")?)
    }
}

/// The package that was built in this directory.
///
/// # Errors
///
/// There is none.
pub fn built_in(directory: &Path) -> Result<PathBuf> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            return Ok(path);
        }
    }
    anyhow::bail!("there is no package in {}", directory.display())
}

/// Copies a file, or a directory with its content.
fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(directory) = to.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut copy = Command::new("cp");
    run(copy.args(["-R", "--"]).args([from, to]))
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}
