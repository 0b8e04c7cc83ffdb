//! spamdrop's controller: tail → parse → policy → blocklist → report.
//!
//! Data flows one way. `tail`, `parse`, `policy` and `report` know nothing of
//! the kernel's maps; only `blocklist` speaks to them, and only `attach` to
//! programs and links.

pub mod admit;
pub mod allowlist;
pub mod answer;
pub mod attach;
pub mod blocklist;
mod bpf;
pub mod bring_up;
pub mod checks;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod daemon;
mod database;
pub mod dnsbl;
mod durable;
pub mod event;
pub mod exit;
mod fifo;
pub mod known;
pub mod listing;
pub mod lock;
mod netlink;
pub mod network;
pub mod parse;
pub mod policy;
pub mod protect;
pub mod recent;
pub mod release;
pub mod report;
pub mod tail;
pub mod target;
pub mod wave;
