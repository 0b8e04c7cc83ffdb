//! Which zones are asked.

use anyhow::Result;

use super::access::Access;
use super::rule::{self, Effect, Rule};
use crate::checks::courier_settings;
use crate::checks::esmtpd::{Settings, value};
use crate::config::Config;
use crate::parse::Server;

/// The zones of the mail server, in its order, and its own table of sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zones {
    rules: Vec<Rule>,
    access: Access,
}

impl Zones {
    /// The zones of the configuration (`zones`), or else those that the
    /// Courier beside it is told to ask.
    ///
    /// # Errors
    ///
    /// Courier's files cannot be read.
    pub fn of(config: &Config) -> Result<Self> {
        let courier = match config.servers.contains(&Server::Courier) {
            true => Self::of_courier(config)?,
            false => Self::default(),
        };
        if config.zones.is_empty() {
            return Ok(courier);
        }
        // Whom Courier's table spares is not refused here either.
        Ok(Self {
            rules: rule::of_configuration(&config.zones)?,
            ..courier
        })
    }

    /// These zones, and no table.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self {
            rules,
            access: Access::default(),
        }
    }

    /// Those of `esmtpd` in Courier's directory; none where there is no such
    /// file.
    fn of_courier(config: &Config) -> Result<Self> {
        let Some(settings) = courier_settings(config)? else {
            return Ok(Self::default());
        };
        Ok(Self {
            access: Access::read(&config.courier_dir.join("smtpaccess"))?,
            rules: courier_rules(&settings),
        })
    }

    /// The zones, in the order in which they are asked.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The server's own table.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Whether one of them can have a source listed.
    #[must_use]
    pub fn can_list(&self) -> bool {
        let rejects = |rule: &Rule| matches!(rule.effect, Effect::Reject(_));
        self.rules.iter().any(rejects)
    }
}

/// The options of Courier's `BLACKLISTS` that decide. With `DROP`, it closes
/// the connection of a listed source without a word, so nothing is told in its
/// place.
#[must_use]
pub fn courier_rules(settings: &Settings) -> Vec<Rule> {
    let drops = !value(settings, "DROP").is_empty();
    // The script hands its value to a second shell.
    let options = shlex::bytes::Shlex::new(value(settings, "BLACKLISTS"));
    let mut rules: Vec<Rule> = options
        .filter_map(|option| Rule::of_courier(&option))
        .collect();
    for rule in rules.iter_mut().filter(|_| drops) {
        if let Effect::Reject(_) = rule.effect {
            rule.effect = Effect::Unsure;
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::super::rule::Text;
    use std::fs;

    use super::*;
    use crate::checks::esmtpd::settings;

    fn read(script: &str) -> Vec<Rule> {
        courier_rules(&settings(script.as_bytes()))
    }

    #[test]
    fn options_of_blacklists_in_their_order() {
        let script = "\
# BLACKLISTS=\"-block=old.example\"
BLACKLISTS=\"-allow=w.example \\
  -block=zen.example,BLOCK,* -block=b.example,BLOCK,'Go away, @' -block=x.example,BLOCK2\"
";
        let rules = read(script);
        let zones: Vec<&str> = rules.iter().map(|rule| rule.zone.as_str()).collect();
        assert_eq!(zones, ["w.example", "zen.example", "b.example"]);
        let last = rules.last().unwrap();
        let own = Text::Own("Go away, @".into());
        assert_eq!(last.effect, Effect::Reject(own));
    }

    #[test]
    fn who_is_dropped_is_told_nothing() {
        let rules = read("BLACKLISTS='-block=b.example,BLOCK,*'\nDROP=-drop\n");
        assert_eq!(rules.first().unwrap().effect, Effect::Unsure);
        assert!(!Zones::new(rules).can_list());
        assert!(Zones::new(read("BLACKLISTS='-block=b.example,BLOCK,*'")).can_list());
    }

    #[test]
    fn nonsense_names_no_zone() {
        for script in [
            "",
            "BLACKLISTS=",
            "BLACKLISTS='\"'",
            "BLACKLISTS='-block= x'",
        ] {
            assert_eq!(read(script), [], "{script}");
        }
    }

    #[test]
    fn the_configuration_goes_before_courier() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(
            dir.path().join("esmtpd"),
            "BLACKLISTS=-block=c.example,BLOCK,*",
        )
        .unwrap();
        let mut config = Config {
            courier_dir: dir.path().into(),
            ..Config::default()
        };
        let zone = |config: &Config| {
            let zones = Zones::of(config).unwrap();
            zones.rules().first().map(|rule| rule.zone.clone())
        };
        assert_eq!(zone(&config).as_deref(), Some("c.example"));
        config.zones = vec!["own.example".into()];
        assert_eq!(zone(&config).as_deref(), Some("own.example"));
        config.zones.clear();
        config.servers = vec![Server::Postfix];
        assert_eq!(zone(&config), None);
    }
}
