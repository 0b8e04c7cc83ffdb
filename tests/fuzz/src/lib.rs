//! What is fuzzed. Each target takes any bytes and panics where a promise is
//! broken; what is expected is told by simple code that shares nothing with
//! what is tested.
//!
//! The programs fuzz where they are built as cargo-fuzz does (`--cfg
//! fuzzing`); built plainly, they try the inputs in the files they are given.

pub mod addresses;
pub mod config;
pub mod dialogue;
pub mod dns;
pub mod fifo;
pub mod line;
mod portions;
pub mod stream;
pub mod zones;

use std::ffi::OsString;
use std::fs;
use std::io;

/// Makes a program of a target.
#[macro_export]
macro_rules! target {
    ($check:path) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $check(data));

        #[cfg(not(fuzzing))]
        fn main() -> std::io::Result<()> {
            $crate::replay(std::env::args_os().skip(1), $check)
        }
    };
}

/// Tries the inputs in these files; the first that breaks a promise panics.
///
/// # Errors
///
/// A file cannot be read.
pub fn replay(paths: impl Iterator<Item = OsString>, check: fn(&[u8])) -> io::Result<()> {
    for path in paths {
        check(&fs::read(path)?);
    }
    Ok(())
}
