//! See `spamdrop_fuzz::config`.

#![cfg_attr(fuzzing, no_main)]

spamdrop_fuzz::target!(spamdrop_fuzz::config::check);
