//! Finds the word that was meant by a mistyped one.

/// The candidate that differs least from `word`, if it differs little: by one
/// letter in three at most. Letters that are swapped count as one difference.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let near = candidates.into_iter().filter_map(|candidate| {
        let distance = distance(word, candidate);
        let longest = length.max(candidate.chars().count());
        (distance * 3 <= longest).then_some((distance, candidate))
    });
    let (_, candidate) = near.min_by_key(|(distance, _)| *distance)?;
    Some(candidate)
}

/// The number of letters that must be inserted, removed, replaced or swapped
/// with their neighbour (optimal string alignment).
fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().collect();
    let to: Vec<char> = to.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, &a) in from.iter().enumerate() {
        let mut this = vec![row + 1];
        for (column, &b) in to.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX);
            let replaced = at(&last, column) + usize::from(a != b);
            let removed = at(&last, column + 1) + 1;
            let inserted = at(&this, column) + 1;
            let mut least = replaced.min(removed).min(inserted);
            let is_swapped = row > 0
                && column > 0
                && from.get(row - 1) == Some(&b)
                && to.get(column - 1) == Some(&a);
            if is_swapped {
                least = least.min(at(&before, column - 1) + 1);
            }
            this.push(least);
        }
        before = std::mem::replace(&mut last, this);
    }
    last.last().copied().unwrap_or(from.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_found_if_it_is_near() {
        let keys = [
            "ports",
            "grace",
            "logs",
            "interfaces",
            "hard_limit",
            "slots",
        ];
        for (word, meant) in [
            ("portz", Some("ports")),
            ("prots", Some("ports")),
            ("port", Some("ports")),
            ("interface", Some("interfaces")),
            ("hardlimit", Some("hard_limit")),
            ("hard-limit", Some("hard_limit")),
            ("Slots", Some("slots")),
            ("bantime", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, keys), meant, "{word}");
        }
    }

    #[test]
    fn a_swap_is_one_difference() {
        for (from, to, expected) in [
            ("", "abc", 3),
            ("abc", "", 3),
            ("abc", "acb", 1),
            ("abcd", "badc", 2),
            ("abc", "xbcd", 2),
            ("ä", "a", 1),
        ] {
            assert_eq!(distance(from, to), expected, "{from}, {to}");
        }
    }
}
