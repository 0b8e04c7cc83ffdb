//! Splits bytes at blanks and counts digits.

/// Splits at the first blank; `None` if there is no blank, or nothing before
/// it.
pub(super) fn token(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b' ', bytes)?;
    let (token, rest) = bytes.split_at_checked(end)?;
    (!token.is_empty()).then_some((token, rest.strip_prefix(b" ")?))
}

/// The number of ASCII digits that the bytes start with.
pub(super) fn count_digits(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count()
}
