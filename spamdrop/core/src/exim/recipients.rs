//! Conditions that choose recipients.

use super::config::Condition;
use super::list::items;

/// The names of the conditions about single recipients.
pub(super) const OF_SINGLE: [&str; 2] = ["local_parts", "recipients"];
/// The lists of the domains that a server has mail for, in Exim's and Debian's
/// configuration.
const OWN_DOMAINS: [&str; 2] = ["+local_domains", "+relay_to_domains"];

/// Whether the condition holds for all recipients but a few that it names.
pub(super) fn are_nearly_all(condition: &Condition) -> bool {
    let items = items(&condition.value);
    let name = condition.name.as_str();
    let is_excepted = |item: &String| {
        let inner = item.strip_prefix('!').map(str::trim_start);
        inner.is_some_and(|inner| is_one(name, inner))
    };
    match (name, condition.is_negated) {
        ("domains", true) => false,
        ("domains", false) => {
            !items.is_empty()
                && items
                    .iter()
                    .all(|item| OWN_DOMAINS.contains(&item.as_str()))
        }
        (_, true) => items.iter().all(|item| is_one(name, item)),
        (_, false) => !items.is_empty() && items.iter().all(is_excepted),
    }
}

/// Whether the condition holds only for a few recipients that it names, such as
/// `postmaster`.
pub(super) fn are_few(condition: &Condition) -> bool {
    let items = items(&condition.value);
    let is_one = |item: &String| is_one(&condition.name, item);
    !condition.is_negated && items.iter().all(is_one)
}

/// Whether the item is a name, and no pattern, look-up or list. In `recipients`,
/// an item without a local part is a whole domain.
fn is_one(name: &str, item: &str) -> bool {
    let is_word = |text: &str| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !text.is_empty() && text.chars().all(is_plain)
    };
    match item.split_once('@') {
        Some((local_part, domain)) => {
            name == "recipients" && is_word(local_part) && is_word(domain)
        }
        None => name == "local_parts" && is_word(item),
    }
}
