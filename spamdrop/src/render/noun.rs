//! A number with its noun.

use std::fmt::Display;

/// Formats a number with its noun: `1 address`, `2 addresses`.
#[must_use]
pub fn count<N: Display + PartialEq + From<u8>>(number: N, one: &str, many: &str) -> String {
    let noun = if number == N::from(1) { one } else { many };
    format!("{number} {noun}")
}
