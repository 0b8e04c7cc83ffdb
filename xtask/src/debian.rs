//! Debian packages, unpacked below the target directory: the mail servers, the
//! blocklist and the syslog of the tests with real mail servers, the promtool of
//! the test of the metrics, and the fail2ban of the bench and of the tests of its
//! action.
//!
//! The packages are not installed: an installation would replace the machine's own
//! mail server, and would start fail2ban and Prometheus as services.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::PoisonError;

use anyhow::{Context as _, Result, ensure};
use cargo_metadata::MetadataCommand;

use crate::{
    command::{APT, as_root, command_line, run},
    say,
};

/// Each tree, and the packages that are unpacked there even if the machine has them
/// installed. apt adds the libraries that the machine lacks. Each mail server has a
/// tree of its own, because the servers have files of the same names.
const TREES: [(&str, &[&str]); 4] = [
    (
        "tree",
        &[
            "courier-mta",
            "courier-base",
            "courier-authlib",
            "courier-authdaemon",
            "rbldnsd",
            "rsyslog",
            "fail2ban",
            "python3-pyinotify",
        ],
    ),
    ("postfix", &["postfix"]),
    (
        "exim",
        &["exim4-daemon-light", "exim4-base", "exim4-config"],
    ),
    ("prometheus", &["prometheus"]),
];

/// Downloads and unpacks the packages, unless that has been done.
///
/// # Errors
///
/// Names the command that failed, or that root has to run.
pub fn unpack_if_missing() -> Result<()> {
    let _one = APT.lock().unwrap_or_else(PoisonError::into_inner);
    let target = MetadataCommand::new().no_deps().exec()?.target_directory;
    let debian = target.join("debian").into_std_path_buf();
    let mut missing = TREES.to_vec();
    missing.retain(|(name, packages)| !is_complete(&debian.join(name), packages));
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<_> = missing.iter().flat_map(|(_, all)| *all).copied().collect();
    say(&format!("unpacking {}", packages.join(", ")));
    download(&debian, &missing)?;
    for (name, _) in missing {
        // The final name exists only when everything is unpacked.
        let (tree, incomplete) = (debian.join(name), debian.join("incomplete"));
        let _ = fs::remove_dir_all(&incomplete);
        unpack(&archives(&debian, name), &incomplete)?;
        let _ = fs::remove_dir_all(&tree);
        fs::rename(incomplete, tree)?;
    }
    Ok(())
}

/// Whether every package is present: each has a directory of its own for its
/// copyright (Debian Policy, 12.5).
fn is_complete(tree: &Path, packages: &[&str]) -> bool {
    let documents = tree.join("usr/share/doc");
    let mut packages = packages.iter();
    packages.all(|package| documents.join(package).exists())
}

fn archives(debian: &Path, tree: &str) -> PathBuf {
    debian.join("archives").join(tree)
}

fn download(debian: &Path, trees: &[(&str, &[&str])]) -> Result<()> {
    // A single command, which can be shown to a user without sudo.
    let mut script = "apt-get -qq update".to_owned();
    for (tree, packages) in trees {
        let archives = archives(debian, tree);
        fs::create_dir_all(&archives)?;
        script += &format!(
            " && apt-get -qq -y install --download-only --reinstall --no-install-recommends \
             -o Dir::Cache::archives='{}' {}",
            archives.display(),
            packages.join(" ")
        );
    }
    let mut command = Command::new("sh");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command.args(["-c", &script]);
    run(&mut as_root(command)?)
}

fn unpack(archives: &Path, tree: &Path) -> Result<()> {
    // Links for packages that still use the directories from before the /usr
    // merge.
    for directory in ["bin", "sbin", "lib", "lib64"] {
        let merged = Path::new("usr").join(directory);
        fs::create_dir_all(tree.join(&merged))?;
        symlink(merged, tree.join(directory))?;
    }
    for entry in fs::read_dir(archives)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            unpack_one(&path, tree)?;
        }
    }
    Ok(())
}

fn unpack_one(package: &Path, tree: &Path) -> Result<()> {
    let mut files = Command::new("dpkg-deb");
    files.arg("--fsys-tarfile").arg(package);
    let mut child = files
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{}`", command_line(&files)))?;
    let mut tar = Command::new("tar");
    tar.args(["--extract", "--keep-directory-symlink", "--directory"]);
    tar.arg(tree);
    tar.stdin(child.stdout.take().context("standard output is piped")?);
    let unpacked = tar.status()?;
    ensure!(
        child.wait()?.success() && unpacked.success(),
        "cannot unpack {}",
        package.display()
    );
    Ok(())
}
