//! The filter on the drivers and interfaces of Debian's kernels. `cargo xtask
//! test --only vm` boots each kernel under QEMU and runs this program there.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod card;
mod carrier;
mod link;
mod mail;
mod row;
mod verb;
