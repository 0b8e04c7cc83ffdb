//! Builds the bench's programs for the kernel, as spamdrop's build script builds
//! the packet filter.

#[path = "../../spamdrop/build/ebpf.rs"]
mod ebpf;

use std::env;

use aya_build::{Package, Toolchain, build_ebpf};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=ebpf");
    println!("cargo:rerun-if-changed=../../spamdrop/build");
    println!("cargo:rerun-if-changed=../../spamdrop-common");
    println!("cargo:rerun-if-changed=../../spamdrop-ebpf/src/frame.rs");
    println!("cargo:rerun-if-changed=../../Cargo.toml");
    println!("cargo:rerun-if-changed=../../Cargo.lock");
    ebpf::set_environment();
    let toolchain = env::var("RUSTUP_TOOLCHAIN").unwrap_or_else(|_| "stable".into());
    let built = build_ebpf(
        [Package {
            name: "spamdrop-bench-ebpf",
            root_dir: "ebpf",
            ..Package::default()
        }],
        Toolchain::Custom(&toolchain),
    );
    if let Err(error) = built {
        println!("cargo::error={error:#}");
    }
}
