//! The parameters of `main.cf`, and their values with `$name` replaced.

use std::collections::HashMap;

use super::logical_lines;

/// How deep values may refer to other parameters.
const DEEPEST: usize = 16;
/// The longest value after all replacements, in bytes.
const LONGEST: usize = 64 * 1024;
/// The most replacements in one value.
const MOST: u32 = 10_000;

/// The parameters that matter here, with their defaults in Postfix 3.7.
const DEFAULTS: [(&str, &str); 18] = [
    ("default_process_limit", "100"),
    (
        "default_rbl_reply",
        "$rbl_code Service unavailable; $rbl_class [$rbl_what] blocked using $rbl_domain${rbl_reason?; $rbl_reason}",
    ),
    ("maps_rbl_reject_code", "554"),
    ("mynetworks", ""),
    ("postscreen_access_list", "permit_mynetworks"),
    ("postscreen_dnsbl_action", "ignore"),
    ("postscreen_dnsbl_sites", ""),
    ("postscreen_dnsbl_threshold", "1"),
    ("postscreen_pre_queue_limit", "$default_process_limit"),
    ("rbl_reply_maps", ""),
    ("smtpd_client_restrictions", ""),
    ("smtpd_helo_restrictions", ""),
    ("smtpd_recipient_restrictions", ""),
    (
        "smtpd_relay_restrictions",
        "permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination",
    ),
    ("smtpd_restriction_classes", ""),
    ("smtpd_sasl_auth_enable", "no"),
    ("smtpd_sender_restrictions", ""),
    ("soft_bounce", "no"),
];

/// The names of the parameters whose values postconf(1) is asked for.
pub const NAMES: [&str; 18] = names();

const fn names() -> [&'static str; 18] {
    let mut names = [""; 18];
    let mut index = 0;
    while index < names.len() {
        names[index] = DEFAULTS[index].0;
        index += 1;
    }
    names
}

/// Values by name.
#[derive(Clone, Debug)]
pub(super) struct Parameters(HashMap<String, String>);

impl Parameters {
    /// Reads `name = value` lines. Of two lines with the same name, the later
    /// one counts.
    pub fn parse(text: &str) -> Self {
        let defaults = DEFAULTS.iter();
        let defaults = defaults.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut values: HashMap<String, String> = defaults.collect();
        let lines = logical_lines(text);
        values.extend(lines.iter().filter_map(|line| assignment(line)));
        Self(values)
    }

    /// The parameters of a service, whose `-o name=value` options override `main.cf`.
    pub fn overridden(&self, overrides: &[(String, String)]) -> Self {
        let mut values = self.0.clone();
        values.extend(overrides.iter().cloned());
        Self(values)
    }

    /// The value as it is written.
    pub fn raw(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Whether there is such a parameter.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The value, with each reference to a parameter replaced by the value of that parameter.
    ///
    /// # Errors
    ///
    /// The part that is not understood.
    pub fn value(&self, name: &str) -> Result<String, String> {
        self.expand(self.raw(name), DEEPEST, &mut { MOST })
    }

    fn expand(&self, text: &str, depth: usize, left: &mut u32) -> Result<String, String> {
        let mut value = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            let (before, behind) = rest.split_at(at);
            value.push_str(before);
            rest = self.expand_one(behind, depth, left, &mut value)?;
            *left = left.saturating_sub(1);
            if value.len() > LONGEST || *left == 0 {
                return Err("a value that is too long".into());
            }
        }
        value.push_str(rest);
        Ok(value)
    }

    /// Replaces the reference at the start of `text`; returns what follows it.
    fn expand_one<'a>(
        &self,
        text: &'a str,
        depth: usize,
        left: &mut u32,
        value: &mut String,
    ) -> Result<&'a str, String> {
        let behind = text.strip_prefix('$').unwrap_or(text);
        if let Some(rest) = behind.strip_prefix('$') {
            value.push('$');
            return Ok(rest);
        }
        let shown = || text.chars().take(60).collect::<String>();
        let reference = reference(behind).ok_or_else(shown)?;
        let deeper = depth.checked_sub(1).ok_or_else(shown)?;
        let is_set = !self.raw(reference.name).is_empty();
        match reference.choice {
            None => value.push_str(&self.expand(self.raw(reference.name), deeper, left)?),
            Some(('?', text)) if is_set => value.push_str(&self.expand(text, deeper, left)?),
            Some((':', text)) if !is_set => value.push_str(&self.expand(text, deeper, left)?),
            Some(_) => {}
        }
        Ok(reference.behind)
    }
}

/// A reference to a parameter, without its `$`.
struct Reference<'a> {
    name: &'a str,
    /// The `?` or `:` after the name, and the text that the condition selects.
    choice: Option<(char, &'a str)>,
    behind: &'a str,
}

/// Parses `name`, `{name}`, `(name)`, `{name?text}` or `{name:text}`. The forms
/// with a comparison or with both texts are not understood.
fn reference(text: &str) -> Option<Reference<'_>> {
    let close = match text.chars().next()? {
        '{' => '}',
        '(' => ')',
        _ => {
            let end = text.find(|c| !is_of_name(c)).unwrap_or(text.len());
            let (name, behind) = text.split_at(end);
            return (!name.is_empty()).then_some(Reference {
                name,
                choice: None,
                behind,
            });
        }
    };
    let inner = text.get(1..)?;
    let (inner, behind) = until_close(inner, close)?;
    let end = inner.find(|c| !is_of_name(c)).unwrap_or(inner.len());
    let (name, choice) = inner.split_at(end);
    let choice = match choice.chars().next() {
        None => None,
        Some(kind @ ('?' | ':')) => {
            let text = choice.get(1..)?.trim();
            if text.starts_with('{') {
                return None;
            }
            Some((kind, text))
        }
        Some(_) => return None,
    };
    (!name.is_empty()).then_some(Reference {
        name,
        choice,
        behind,
    })
}

/// Splits at the closing bracket of a reference, after all nested pairs of brackets.
/// The bracket itself is left out.
fn until_close(text: &str, close: char) -> Option<(&str, &str)> {
    let open = if close == '}' { '{' } else { '(' };
    let mut depth = 0_usize;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            if depth == 0 {
                return Some((text.get(..at)?, text.get(at + 1..)?));
            }
            depth -= 1;
        }
    }
    None
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Parses `name = value`.
pub(super) fn assignment(line: &str) -> Option<(String, String)> {
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let is_name = !name.is_empty() && name.chars().all(is_of_name);
    is_name.then(|| (name.to_owned(), value.trim().to_owned()))
}
