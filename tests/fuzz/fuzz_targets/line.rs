//! See `spamdrop_fuzz::line`.

#![cfg_attr(fuzzing, no_main)]

spamdrop_fuzz::target!(spamdrop_fuzz::line::check);
