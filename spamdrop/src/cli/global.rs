//! `--json` in front of the command.

use std::ffi::OsString;

/// Moves `-j` or `--json` from before the command to the end of the line, or in front of
/// `--`, because clap knows it only as a flag of the commands that print JSON. Commands
/// that print no JSON refuse the moved flag.
pub fn with_json_behind(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words: Vec<OsString> = words.into_iter().collect();
    let mut index = 1;
    while let Some(word) = words.get(index).and_then(|word| word.to_str()) {
        match word {
            "-j" | "--json" => {
                let flag = words.remove(index);
                let end = words.iter().position(|word| word == "--");
                words.insert(end.unwrap_or(words.len()), flag);
                break;
            }
            "-c" | "--config" => index += 2,
            "--" => break,
            flag if flag.starts_with('-') => index += 1,
            _ => break,
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_flag_in_front_of_the_command_is_moved() {
        for (words, expected) in [
            ("x -j status", "x status -j"),
            ("x -v --json -q allow list", "x -v -q allow list --json"),
            ("x -c -j -j list", "x -c -j list -j"),
            ("x --config=a -j scan -- b", "x --config=a scan -j -- b"),
            ("x list -j", "x list -j"),
            ("x -v list", "x -v list"),
            ("x -- -j", "x -- -j"),
            ("x -j", "x -j"),
            ("x", "x"),
        ] {
            let words = words.split(' ').map(OsString::from);
            let moved = with_json_behind(words).join(" ".as_ref());
            assert_eq!(moved, expected);
        }
    }
}
