//! See `spamdrop_fuzz::fifo`.

#![cfg_attr(fuzzing, no_main)]

spamdrop_fuzz::target!(spamdrop_fuzz::fifo::check);
