//! Limits which files the daemon and journalctl can change and execute, by
//! Landlock (Linux 5.13). The modes of the files apply as well.
//!
//! Reading is limited by the modes alone, because logs may lie anywhere and a
//! new configuration may name other logs.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::Result;
use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd,
    Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, RulesetStatus,
};

/// The newest rights that this code knows. Those that the kernel does not know
/// are left out.
const RIGHTS: ABI = ABI::V5;

/// Where programs and their libraries lie, beside the directories of `PATH`.
const PROGRAMS: [&str; 9] = [
    "/bin",
    "/gnu/store",
    "/lib",
    "/lib32",
    "/lib64",
    "/nix/store",
    "/opt",
    "/sbin",
    "/usr",
];

/// Programs write output to this file in order to discard it.
const NULL: &str = "/dev/null";

/// Lets this process, its later threads and the programs that it starts change
/// files in these directories only, and execute only installed programs.
/// `no_new_privs` must be set. Returns what the kernel enforces, in words.
///
/// From then on, this process can inspect and trace only itself and the programs that it starts.
///
/// # Errors
///
/// A directory cannot be opened, or the kernel refuses the rules.
pub fn limit(writable: &[&Path]) -> Result<&'static str> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(RIGHTS))?
        .create()?
        .add_rule(beneath(
            Path::new("/"),
            AccessFs::ReadFile | AccessFs::ReadDir,
        )?)?
        .add_rule(beneath(Path::new(NULL), AccessFs::WriteFile.into())?)?;
    for directory in programs().iter().filter(|directory| directory.is_dir()) {
        rules = allow(rules, directory, AccessFs::Execute.into())?;
    }
    for directory in writable {
        rules = allow(rules, directory, changes())?;
    }
    Ok(match rules.restrict_self()?.ruleset {
        RulesetStatus::FullyEnforced => "limited",
        RulesetStatus::PartiallyEnforced => "limited as far as this kernel's Landlock can",
        RulesetStatus::NotEnforced => "not limited, because this kernel has no Landlock",
    })
}

fn allow(rules: RulesetCreated, path: &Path, rights: BitFlags<AccessFs>) -> Result<RulesetCreated> {
    Ok(rules.add_rule(beneath(path, rights)?)?)
}

fn beneath(path: &Path, rights: BitFlags<AccessFs>) -> Result<PathBeneath<PathFd>> {
    Ok(PathBeneath::new(PathFd::new(path)?, rights))
}

fn programs() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let named = env::split_paths(&path).filter(|path| path.is_absolute());
    PROGRAMS.iter().map(PathBuf::from).chain(named).collect()
}

/// The rights to change files as the daemon does. It needs no right to make devices
/// or sockets.
fn changes() -> BitFlags<AccessFs> {
    let others = AccessFs::MakeBlock | AccessFs::MakeChar | AccessFs::MakeSock | AccessFs::IoctlDev;
    AccessFs::from_write(RIGHTS) & !others
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]

    use std::fs;
    use std::io::ErrorKind;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use std::process::Command;
    use std::thread;

    use rustix::thread::set_no_new_privs;

    use super::*;

    /// This test limits only a thread of its own, so that it does not limit the
    /// other tests.
    #[test]
    fn only_the_given_directories_change_and_only_installed_programs_run() {
        let own = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("file"), "read").unwrap();
        let limited = thread::spawn(move || {
            set_no_new_privs(true).unwrap();
            assert!(limit(&[own.path()]).unwrap().starts_with("limited"));
            let file = own.path().join("file");
            fs::write(&file, "#!/bin/sh\n").unwrap();
            fs::rename(&file, own.path().join("renamed")).unwrap();
            symlink("x", own.path().join("link")).unwrap();
            fs::create_dir(own.path().join("directory")).unwrap();
            let refused = |result: std::io::Result<()>| {
                assert_eq!(result.unwrap_err().kind(), ErrorKind::PermissionDenied);
            };
            let file = other.path().join("file");
            assert_eq!(fs::read_to_string(&file).unwrap(), "read");
            refused(fs::write(&file, "changed"));
            refused(fs::write(other.path().join("new"), ""));
            refused(fs::remove_file(&file));
            refused(symlink("x", other.path().join("link")));
            // A link in the directory gives no right to change its target elsewhere.
            symlink(&file, own.path().join("out")).unwrap();
            refused(fs::write(own.path().join("out"), "changed"));
            let program = own.path().join("renamed");
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
            refused(Command::new(program).status().map(drop));
            assert!(Command::new("true").status().unwrap().success());
        });
        limited.join().unwrap();
    }
}
