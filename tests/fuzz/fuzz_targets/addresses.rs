//! See `spamdrop_fuzz::addresses`.

#![cfg_attr(fuzzing, no_main)]

spamdrop_fuzz::target!(spamdrop_fuzz::addresses::check);
