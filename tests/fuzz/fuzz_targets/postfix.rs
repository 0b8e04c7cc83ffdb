//! See `spamdrop_fuzz::postfix`.

#![cfg_attr(fuzzing, no_main)]

spamdrop_fuzz::target!(spamdrop_fuzz::postfix::check);
