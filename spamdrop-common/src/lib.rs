//! What the packet filter in the kernel and the controller agree on: the map
//! layouts and names, the counter reasons, and the pure code that takes a
//! frame to a verdict. Nothing here reads a clock, a map or a file.

#![no_std]

pub mod counter;
pub mod entry;
pub mod gate;
pub mod hot;
pub mod names;
pub mod packet;
pub mod settings;
pub mod verdict;
