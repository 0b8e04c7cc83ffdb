//! See `spamdrop_fuzz::stream`.

#![cfg_attr(fuzzing, no_main)]

spamdrop_fuzz::target!(spamdrop_fuzz::stream::check);
