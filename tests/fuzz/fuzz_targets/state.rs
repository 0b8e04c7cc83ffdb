//! See `spamdrop_fuzz::state`.

#![cfg_attr(fuzzing, no_main)]

spamdrop_fuzz::target!(spamdrop_fuzz::state::check);
