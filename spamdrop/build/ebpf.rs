//! The environment of the inner cargo call that builds eBPF objects. The build
//! script of the bench uses it as well.

use std::env;
use std::path::Path;

/// The name of the directory of intermediate files, in cargo's target
/// directory.
const DIRECTORY: &str = "ebpf";

/// Sets the variables that aya-build and the cargo that it starts read.
pub fn set_environment() {
    // The target has no prebuilt core, and its inline assembly is unstable;
    // this process and the cargo that it starts are the only ones to see it.
    set("RUSTC_BOOTSTRAP", "1");
    // An object of an incremental build needs more stack than the kernel allows.
    set("CARGO_INCREMENTAL", "0");
    // The output of the inner cargo is shown as warnings; leave only real ones.
    set("CARGO_TERM_QUIET", "true");
    // The object's debugging information names its sources, and must not tell
    // where they were: two builds in different directories are equal. aya-build
    // replaces the compiler's flags, so cargo itself has to do it.
    // Cargo takes the objects of an earlier build for fresh, whether `cargo xtask dist`
    // made them or not, so its flags must not add to that.
    set("SPAMDROP_COMPILER_FLAGS", "");
    set("CARGO_UNSTABLE_TRIM_PATHS", "true");
    set("CARGO_PROFILE_RELEASE_TRIM_PATHS", "object");
    let out = env::var("OUT_DIR").unwrap_or_default();
    // aya-build compiles into `OUT_DIR`, so every set of features and every
    // profile would compile `core` and the libraries again. With one directory
    // for all, only what differs is compiled.
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
