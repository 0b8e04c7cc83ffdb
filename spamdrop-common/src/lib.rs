//! What the packet filter in the kernel and the program in user space agree
//! on: map layouts and names, counter reasons, and the pure code that takes a
//! frame to an action. Nothing here reads a clock, a map or a file.

#![no_std]

#[cfg(test)]
extern crate std;

pub mod abi;
pub mod action;
pub mod counter;
pub mod entry;
pub mod gate;
pub mod names;
pub mod packet;
pub mod recent_drop;
pub mod settings;
pub mod time;
