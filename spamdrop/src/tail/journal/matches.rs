//! Determines which entries of the journal are trusted.

use anyhow::{Context as _, Result, bail, ensure};

/// Fields that identify who wrote an entry and that no writer can choose: see
/// "Trusted Journal Fields" in systemd.journal-fields(7). The executable is not
/// among them, because anybody can run `/usr/sbin/courierlogger`. Nor is the
/// unit: a mail server's unit also runs programs of its users, which they name
/// in `.forward` and `.courier`. Nor is the group: programs such as Courier's
/// `sendmail` change it for everybody who runs them.
const WRITER: [&str; 2] = ["_UID", "_SELINUX_CONTEXT"];

/// Alternatives; an entry must match at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matches(Vec<Vec<Match>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Match {
    field: String,
    value: String,
}

impl Matches {
    /// Parses alternatives such as `_SYSTEMD_UNIT=courier.service _UID=0`.
    /// Within one, values of the same field are alternatives, and different
    /// fields must all match, as with journalctl.
    ///
    /// # Errors
    ///
    /// There is no alternative, one is not a list of `FIELD=value`, or one has
    /// no field that proves who wrote an entry.
    pub fn parse(alternatives: &[impl AsRef<str>]) -> Result<Self> {
        ensure!(
            !alternatives.is_empty(),
            "it is empty; name at least one match"
        );
        let parsed = alternatives.iter().map(|text| {
            let text = text.as_ref();
            let words: Result<Vec<Match>> = text.split_ascii_whitespace().map(word).collect();
            let words = words.with_context(|| format!("\"{text}\""))?;
            ensure!(
                words.iter().any(|word| WRITER.contains(&&*word.field)),
                "\"{text}\" does not prove who wrote an entry; add {}",
                WRITER.join(" or ")
            );
            Ok(words)
        });
        Ok(Self(parsed.collect::<Result<_>>()?))
    }

    /// The arguments for journalctl. The value of `_UID` may be a user name,
    /// which `uid` looks up. Users that do not exist are left out, as they
    /// write nothing.
    ///
    /// # Errors
    ///
    /// None of the users that an alternative names exists. Without a user, the
    /// alternative would match the entries of every user.
    pub fn args(&self, uid: impl Fn(&str) -> Option<u32>) -> Result<Vec<String>> {
        let mut args = Vec::new();
        for alternative in &self.0 {
            if !args.is_empty() {
                args.push("+".into());
            }
            let (users, others): (Vec<_>, Vec<_>) =
                alternative.iter().partition(|word| word.field == "_UID");
            args.extend(others.iter().map(|word| word.with_value(&word.value)));
            let found: Vec<String> = users
                .iter()
                .filter_map(|word| Some(word.with_value(&word.uid(&uid)?)))
                .collect();
            if found.is_empty() && !users.is_empty() {
                let names: Vec<_> = users.iter().map(|word| word.value.as_str()).collect();
                bail!("`journal_match`: there is no user {}", names.join(" or "));
            }
            args.extend(found);
        }
        Ok(args)
    }
}

impl Match {
    fn with_value(&self, value: &str) -> String {
        format!("{}={value}", self.field)
    }

    fn uid(&self, lookup: impl Fn(&str) -> Option<u32>) -> Option<String> {
        let number = self.value.parse().ok();
        number
            .or_else(|| lookup(&self.value))
            .map(|uid| uid.to_string())
    }
}

fn word(word: &str) -> Result<Match> {
    let (field, value) = word.split_once('=').unwrap_or_default();
    let is_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    ensure!(
        !field.is_empty() && field.bytes().all(is_name) && !value.is_empty(),
        "`{word}` is not of the form FIELD=value"
    );
    Ok(Match {
        field: field.into(),
        value: value.into(),
    })
}

#[cfg(test)]
mod tests;
