//! See `spamdrop_fuzz::dns`.

#![cfg_attr(fuzzing, no_main)]

spamdrop_fuzz::target!(spamdrop_fuzz::dns::check);
