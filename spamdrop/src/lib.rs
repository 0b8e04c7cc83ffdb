//! spamdrop's daemon and command line. Decisions are made in `spamdrop_core`;
//! this crate reads, writes and waits.
//!
//! Data flows one way: bytes → [`tail`] → `spamdrop_core` (line → effects) →
//! [`kernel`] (maps) → the packet filter → counters → [`render`].

#![deny(unsafe_code)]

pub mod account;
pub mod allowlist;
pub mod checks;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
mod courier;
pub mod daemon;
pub mod directory;
pub mod dnsbl;
pub mod dry_run;
mod durable;
pub mod exit;
mod fifo;
mod holder;
pub mod install;
pub mod journal;
pub mod kernel;
pub mod lock;
pub mod owned_blocks;
pub mod protect;
mod readable;
pub mod render;
pub mod responder;
pub mod server_settings;
pub mod store;
pub mod tail;
pub mod unpack;
