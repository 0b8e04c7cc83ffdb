//! The path of the configuration among the words of a command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;

/// The words of a command line without the flag `-c` or `--config` and its value, and the
/// path that this value gives. The line need not be complete. In a line that clap accepts,
/// a word that begins with `-c` is always this flag.
pub fn without_config(words: impl Iterator<Item = OsString>) -> (Vec<OsString>, Option<PathBuf>) {
    let (mut words, mut others, mut path) = (words, Vec::new(), None);
    while let Some(word) = words.next() {
        match value(&word) {
            None => others.push(word),
            Some(FlagValue::NextWord) => path = words.next().map(PathBuf::from),
            Some(FlagValue::Here(value)) => path = Some(OsStr::from_bytes(value).into()),
        }
    }
    (others, path)
}

/// Where the value of the flag is.
enum FlagValue<'word> {
    /// In the same word. It is empty if the word ends with `=`.
    Here(&'word [u8]),
    NextWord,
}

/// The value of the flag, if `word` is `-c` or `--config`. `None`: `word` is not this flag.
fn value(word: &OsStr) -> Option<FlagValue<'_>> {
    let bytes = word.as_bytes();
    let (rest, is_short) = match bytes.strip_prefix(b"-c") {
        Some(rest) => (rest, true),
        None => (bytes.strip_prefix(b"--config")?, false),
    };
    match rest.strip_prefix(b"=") {
        Some(value) => Some(FlagValue::Here(value)),
        None if rest.is_empty() => Some(FlagValue::NextWord),
        None => is_short.then_some(FlagValue::Here(rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_is_found_in_each_form_and_the_other_words_stay() {
        for line in [
            "-c a.toml add 192.0.2.1",
            "-ca.toml add 192.0.2.1",
            "-c=a.toml add 192.0.2.1",
            "add 192.0.2.1 --config a.toml",
            "add --config=a.toml 192.0.2.1",
        ] {
            let (others, path) = without_config(line.split(' ').map(OsString::from));
            assert_eq!(path, Some("a.toml".into()), "{line}");
            assert_eq!(others, ["add", "192.0.2.1"], "{line}");
        }
        for line in ["add -c= 192.0.2.1", "add --config= 192.0.2.1"] {
            let (others, path) = without_config(line.split(' ').map(OsString::from));
            assert_eq!(path, Some("".into()), "{line}");
            assert_eq!(others, ["add", "192.0.2.1"], "{line}");
        }
        let others = ["config", "--configure", "check"].map(OsString::from);
        assert_eq!(
            without_config(others.clone().into_iter()),
            (others.to_vec(), None)
        );
        let cut = ["add", "--config"].map(OsString::from);
        assert_eq!(without_config(cut.into_iter()), (vec!["add".into()], None));
    }
}
