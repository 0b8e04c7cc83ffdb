//! `program`: the names of the mail servers' programs in the log.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde::Deserialize;
use spamdrop_core::log::{MailServer, ProgramNames};

use super::Config;

/// The name under which Courier's SMTP server logs, unless Courier's setting
/// `SYSLOGNAME` is another.
const COURIER: &str = "courieresmtpd";

/// The value of `program`: the names of mail servers' programs in the log, where
/// they differ from the usual ones.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(
    untagged,
    expecting = "a name, a list of names, or a table such as { exim = \"exim-in\" }"
)]
pub enum Programs {
    /// The names for the first of `servers`.
    OfFirst(Names),
    /// The names for each server that the table has.
    Of(BTreeMap<MailServer, Names>),
}

/// One or more names.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Names {
    /// One name.
    One(String),
    /// Several names.
    Many(Vec<String>),
}

impl Default for Programs {
    fn default() -> Self {
        Self::Of(BTreeMap::new())
    }
}

impl Names {
    fn to_vec(&self) -> Vec<String> {
        match self {
            Self::One(name) => vec![name.clone()],
            Self::Many(names) => names.clone(),
        }
    }
}

impl Config {
    /// The program names that the configuration sets; other servers keep the usual
    /// names.
    #[must_use]
    pub fn program_names(&self) -> ProgramNames {
        let mut programs = ProgramNames::default();
        match (&self.program, self.servers.first()) {
            (Programs::OfFirst(names), Some(first)) => programs.set(*first, names.to_vec()),
            (Programs::OfFirst(_), None) => {}
            (Programs::Of(table), _) => {
                for (server, names) in table {
                    programs.set(*server, names.to_vec());
                }
            }
        }
        programs
    }

    /// The name under which Courier's SMTP server logs.
    #[must_use]
    pub fn courier_program(&self) -> String {
        let programs = self.program_names();
        let configured = programs.names(MailServer::Courier).and_then(<[_]>::first);
        configured.cloned().unwrap_or_else(|| COURIER.into())
    }

    pub(super) fn check_programs(&self) -> Result<()> {
        let all = match &self.program {
            Programs::OfFirst(names) => names.to_vec(),
            Programs::Of(table) => table.values().flat_map(Names::to_vec).collect(),
        };
        let is_empty = matches!(&self.program, Programs::OfFirst(_)) && all.is_empty();
        ensure!(
            !is_empty && !all.iter().any(String::is_empty),
            "`program` has an empty name; remove the key to use the usual names, such as \"{COURIER}\""
        );
        if let Programs::Of(table) = &self.program
            && let Some(server) = table.keys().find(|server| !self.servers.contains(server))
        {
            let name = format!("{server:?}").to_lowercase();
            anyhow::bail!("`program` names {name}, which is not in `servers`; add it there");
        }
        Ok(())
    }
}
