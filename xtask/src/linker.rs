//! bpf-linker, which rustc calls to link the packet filter.
//!
//! It reads rustc's bitcode, so its LLVM must not be older than rustc's. It is
//! therefore built against rustc's own LLVM, which needs no Debian package.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::{
    command::{cargo, find, output, run},
    say,
};

const VERSION: &str = "0.13.0";

/// The LLVM library that rustc uses.
struct Llvm {
    /// The file name, such as `libLLVM.so.22.1-rust-1.95.0-stable`. It is also
    /// the library's SONAME, so the library of another rustc is not loaded in
    /// its place.
    file: String,
    directory: PathBuf,
    major: String,
}

/// Installs bpf-linker in cargo's default directory, unless the one on `PATH`
/// has this version and uses the LLVM of this rustc. After an update of rustc, it
/// is installed again.
///
/// # Errors
///
/// Names the command that failed, or the other bpf-linker that precedes it on
/// `PATH`.
pub fn install_if_missing(sysroot: &Path) -> Result<()> {
    let llvm = Llvm::of_rustc(sysroot)?;
    if is_ready(&llvm) {
        return Ok(());
    }
    say(&format!(
        "installing bpf-linker {VERSION} for LLVM {} (about a minute)",
        llvm.major
    ));
    install(&llvm)?;
    ensure!(
        is_ready(&llvm),
        "bpf-linker is installed, but PATH leads to {}; put cargo's bin directory first",
        find("bpf-linker").map_or("none".into(), |path| path.display().to_string())
    );
    Ok(())
}

fn is_ready(llvm: &Llvm) -> bool {
    answers(Command::new("bpf-linker").arg("--version"), VERSION)
        // This variable makes ld.so(8) list the libraries instead of running
        // the program.
        && answers(
            Command::new("bpf-linker").env("LD_TRACE_LOADED_OBJECTS", "1"),
            &llvm.file,
        )
}

/// Whether a command succeeds and its output contains `what`. `LD_LIBRARY_PATH`
/// is removed: rustup and cargo may set it, and a library that is only found
/// through it would be missing in a later, plain `cargo build`.
fn answers(command: &mut Command, what: &str) -> bool {
    command
        .env_remove("LD_LIBRARY_PATH")
        .stdin(Stdio::null())
        .output()
        .is_ok_and(|out| {
            out.status.success() && String::from_utf8_lossy(&out.stdout).contains(what)
        })
}

fn install(llvm: &Llvm) -> Result<()> {
    let prefix = llvm.prefix()?;
    let rpath = format!("-Clink-arg=-Wl,-rpath,{}", llvm.directory.display());
    let feature = format!("llvm-{}", llvm.major);
    // Without --force, cargo keeps an installed bpf-linker that an update of
    // rustc broke.
    let mut command = cargo(["install", "--quiet", "--locked", "--force"]);
    command.args(["bpf-linker", "--version", VERSION]);
    command.args(["--no-default-features", "--features", &feature]);
    command.env("LLVM_PREFIX", &prefix);
    command.env("CARGO_ENCODED_RUSTFLAGS", rpath);
    run(&mut command)
}

impl Llvm {
    fn of_rustc(sysroot: &Path) -> Result<Self> {
        let directory = sysroot.join("lib");
        let entries = fs::read_dir(&directory)
            .with_context(|| format!("cannot read {}", directory.display()))?;
        let file = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .find(|name| name.starts_with("libLLVM.so."))
            .with_context(|| {
                format!(
                    "{} holds no libLLVM.so.*; install Rust by rustup",
                    directory.display()
                )
            })?;
        let version = output(Command::new("rustc").arg("-vV"))?;
        let major = version
            .lines()
            .find_map(|line| line.strip_prefix("LLVM version: ")?.split('.').next())
            .context("`rustc -vV` names no LLVM version")?;
        Ok(Self {
            file,
            directory,
            major: major.to_owned(),
        })
    }

    /// Makes a directory that looks like an LLVM installation to bpf-linker's
    /// build.
    fn prefix(&self) -> Result<PathBuf> {
        let target = cargo_metadata::MetadataCommand::new().no_deps().exec()?;
        let prefix = target.target_directory.join("llvm").into_std_path_buf();
        let lib = prefix.join("lib");
        if prefix.exists() {
            fs::remove_dir_all(&prefix)?;
        }
        fs::create_dir_all(&lib)?;
        let library = self.directory.join(&self.file);
        for name in ["libLLVM.so", &self.file] {
            symlink(&library, lib.join(name))
                .with_context(|| format!("cannot make {name} in {}", lib.display()))?;
        }
        Ok(prefix)
    }
}
