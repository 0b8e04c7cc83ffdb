//! See `spamdrop_fuzz::zones`.

#![cfg_attr(fuzzing, no_main)]

spamdrop_fuzz::target!(spamdrop_fuzz::zones::check);
