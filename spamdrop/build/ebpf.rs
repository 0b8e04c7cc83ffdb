//! The environment of the inner cargo call that builds eBPF objects. The build
//! script of the bench uses this file as well.

use std::env;
use std::path::Path;

/// The name of the directory of intermediate files, in cargo's target
/// directory.
const DIRECTORY: &str = "ebpf";

/// Sets the variables that aya-build and the cargo that it starts read.
pub fn set_environment() {
    // The eBPF target has no prebuilt `core` and no stable inline assembly, so a stable
    // compiler must accept unstable features. This process and the cargo that it starts
    // are the only ones to see the variable.
    set("RUSTC_BOOTSTRAP", "1");
    // An object of an incremental build needs more stack than the kernel allows.
    set("CARGO_INCREMENTAL", "0");
    // aya-build shows all output of the inner cargo as warnings, also its progress.
    set("CARGO_TERM_QUIET", "true");
    // Cargo does not rebuild the objects when the flags of `cargo xtask dist`'s compiler
    // wrapper change. So these flags are emptied; otherwise an object would depend on
    // which build made it.
    set("SPAMDROP_COMPILER_FLAGS", "");
    // The object's debugging information names its source files. Their directory is left
    // out, so that builds in different directories are equal. Cargo itself must do this,
    // because aya-build replaces the compiler's flags.
    set("CARGO_UNSTABLE_TRIM_PATHS", "true");
    set("CARGO_PROFILE_RELEASE_TRIM_PATHS", "object");
    let out = env::var("OUT_DIR").unwrap_or_default();
    // aya-build compiles into `OUT_DIR`, so every set of features and every profile
    // would compile `core` and the libraries again. One directory for all prevents this.
    if let Some(target) = target_directory(Path::new(&out)) {
        set(
            "CARGO_BUILD_BUILD_DIR",
            &target.join(DIRECTORY).to_string_lossy(),
        );
    }
}

/// The outermost directory that cargo has tagged as a cache.
fn target_directory(out: &Path) -> Option<&Path> {
    let tagged = |directory: &&Path| directory.join("CACHEDIR.TAG").is_file();
    out.ancestors().filter(tagged).last()
}

fn set(name: &str, value: &str) {
    // SAFETY: a build script calls this first, so no other thread runs yet.
    unsafe { env::set_var(name, value) };
}
