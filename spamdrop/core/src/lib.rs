//! Every decision of spamdrop, as values: the event of a log line, whether it
//! blocks, which senders are known, how the gate is set.
//!
//! This crate reads no clock, file, socket or time zone. The caller passes in
//! the time and the text, and carries out the result. So the daemon, `scan` and
//! `learn` share the same code, and a test needs no root.

#![forbid(unsafe_code)]

pub mod allowlist;
pub mod client_table;
pub mod courier;
pub mod dnsbl;
pub mod duration;
pub mod engine;
pub mod escape;
pub mod event;
pub mod exim;
pub mod gate;
pub mod health;
pub mod history;
pub mod invalid;
pub mod listeners;
pub mod listing;
pub mod lists;
pub mod log;
pub mod nat64;
pub mod near_misses;
pub mod nearest;
pub mod next_syn;
pub mod not_ip;
pub mod notice;
pub mod owners;
pub mod pause;
pub mod policy;
pub mod postfix;
pub mod recent;
pub mod release;
pub mod reload;
pub mod reputation;
pub mod rotation;
pub mod saved;
pub mod server_settings;
pub mod setup;
pub mod silence;
pub mod smtp;
pub mod status;
pub mod summary;
pub mod target;
pub mod term;
pub mod time;
pub mod top;
pub mod warning;
pub mod wave;
pub mod wildcard;
pub mod zone_offset;
pub mod zones;
