//! Builds the packet filter and leaves its object in `OUT_DIR`, from where
//! `attach` embeds it.

use std::env;
use std::fs;
use std::path::Path;

use aya_build::{Package, Toolchain, build_ebpf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // A directory, so that new files count as well.
    println!("cargo:rerun-if-changed=../spamdrop-common");
    // Versions, lints and the profile.
    println!("cargo:rerun-if-changed=../Cargo.toml");
    println!("cargo:rerun-if-changed=../Cargo.lock");
    // Fuzz targets load no filter, and it takes long to build.
    if env::var_os("CARGO_CFG_FUZZING").is_some() {
        let out = env::var_os("OUT_DIR").unwrap_or_default();
        if let Err(error) = fs::write(Path::new(&out).join("spamdrop-ebpf"), []) {
            println!("cargo::error=cannot leave an empty object: {error}");
        }
        return;
    }
    // The target has no prebuilt core, and its inline assembly is unstable;
    // this process and the cargo that it starts are the only ones to see it.
    // SAFETY: no other thread runs yet.
    unsafe { env::set_var("RUSTC_BOOTSTRAP", "1") };
    // What the inner cargo says is shown as warnings; leave only real ones.
    // SAFETY: as above.
    unsafe { env::set_var("CARGO_TERM_QUIET", "true") };
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
