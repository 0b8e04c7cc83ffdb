//! See `spamdrop_fuzz::dialogue`.

#![cfg_attr(fuzzing, no_main)]

spamdrop_fuzz::target!(spamdrop_fuzz::dialogue::check);
