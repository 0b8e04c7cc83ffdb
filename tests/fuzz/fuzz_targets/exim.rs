//! See `spamdrop_fuzz::exim`.

#![cfg_attr(fuzzing, no_main)]

spamdrop_fuzz::target!(spamdrop_fuzz::exim::check);
