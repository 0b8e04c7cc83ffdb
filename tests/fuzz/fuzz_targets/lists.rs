//! See `spamdrop_fuzz::lists`.

#![cfg_attr(fuzzing, no_main)]

spamdrop_fuzz::target!(spamdrop_fuzz::lists::check);
