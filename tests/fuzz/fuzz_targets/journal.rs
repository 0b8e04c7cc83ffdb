//! See `spamdrop_fuzz::journal`.

#![cfg_attr(fuzzing, no_main)]

spamdrop_fuzz::target!(spamdrop_fuzz::journal::check);
