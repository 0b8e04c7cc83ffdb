//! The contract between the filter in the kernel and the program in user space:
//! map layouts and names, counter reasons, and the pure code from frame to
//! action. This crate reads no clock, no map and no file.

#![no_std]

#[cfg(test)]
extern crate std;

pub mod abi;
pub mod action;
pub mod counter;
pub mod entry;
pub mod gate;
pub mod names;
pub mod nat64;
pub mod packet;
pub mod recent_drop;
pub mod settings;
pub mod time;
