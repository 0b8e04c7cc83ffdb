//! The fuzz targets. Each takes any bytes and panics if a property does not
//! hold. The expected results come from simple code that shares nothing with
//! the tested code.
//!
//! The programs fuzz if they are built as cargo-fuzz does (`--cfg fuzzing`).
//! Otherwise, they try the inputs in the files that are given as arguments.

pub mod addresses;
pub mod config;
pub mod dialogue;
pub mod dns;
pub mod exim;
pub mod fifo;
pub mod journal;
pub mod line;
pub mod lists;
mod portions;
pub mod postfix;
mod server_settings;
pub mod state;
pub mod stream;
pub mod zones;

use std::ffi::OsString;
use std::fs;
use std::io;

/// Defines the program of a target.
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

/// Tries the inputs in these files; panics if a property does not hold.
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
