//! Builds the packet filter and leaves its object in `OUT_DIR`, from where
//! `kernel::attach` embeds it.

#[path = "build/ebpf.rs"]
mod ebpf;

use std::env;
use std::fs;
use std::path::Path;

use aya_build::{Package, Toolchain, build_ebpf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=build");
    // Cargo watches every file of a directory, also a new one.
    println!("cargo:rerun-if-changed=../spamdrop-common");
    // These files have the versions of all dependencies, the lints and the profile.
    println!("cargo:rerun-if-changed=../Cargo.toml");
    println!("cargo:rerun-if-changed=../Cargo.lock");
    // Fuzz targets load no filter, and the filter takes long to build.
    if env::var_os("CARGO_CFG_FUZZING").is_some() {
        let out = env::var_os("OUT_DIR").unwrap_or_default();
        if let Err(error) = fs::write(Path::new(&out).join("spamdrop-ebpf"), []) {
            println!("cargo::error=cannot leave an empty object: {error}");
        }
        return;
    }
    ebpf::set_environment();
    let toolchain = env::var("RUSTUP_TOOLCHAIN").unwrap_or_else(|_| "stable".into());
    let built = build_ebpf(
        [Package {
            name: "spamdrop-ebpf",
            root_dir: "../spamdrop-ebpf",
            no_default_features: env::var_os("CARGO_FEATURE_PACKET_LOG").is_none(),
            ..Package::default()
        }],
        Toolchain::Custom(&toolchain),
    );
    if let Err(error) = built {
        println!("cargo::error={error:#}");
        println!(
            "cargo::error=the packet filter does not build; if a tool is missing, `cargo xtask setup` installs it"
        );
    }
}
