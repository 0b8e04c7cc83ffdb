//! The settings of Postfix and Exim that spamdrop uses: slots, zones,
//! whether port 25 offers AUTH, and the clients that are exempt from the zones.
//!
//! Root reads the settings with the server's own tools and writes them to
//! [`FILE`]; the daemon, an ordinary user, reads only that. What is not
//! understood is a [`Note`]; nothing is guessed.

mod collector;

use serde::{Deserialize, Serialize, Serializer};

use crate::client_table::ClientTable;
use crate::dnsbl::key::mask;
use crate::dnsbl::rule::Rule;
use crate::log::MailServer;

pub(crate) use collector::{Collector, entry};

/// The name of the file in the run directory.
pub const FILE: &str = "server.json";

/// The [`SettingsFile::version`] that this program reads and writes. It is
/// raised when a field changes its meaning or its type.
pub const VERSION: u32 = 1;

/// The longest text of a note, in characters.
const LONGEST_NOTE: usize = 500;

/// The content of [`FILE`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingsFile {
    /// [`VERSION`].
    pub version: u32,
    /// When the settings were read, in seconds since 1970.
    pub read_unix_s: u64,
    /// The settings of each server.
    pub servers: Vec<ServerSettings>,
}

/// The settings of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerSettings {
    /// The server.
    #[serde(serialize_with = "name")]
    pub server: MailServer,
    /// The files that hold the settings.
    pub files: Vec<SourceFile>,
    /// The number of connections that it serves at once.
    pub slots: SlotSetting,
    /// Whether port 25 offers AUTH.
    pub auth: AuthSetting,
    /// The zones, in the server's order.
    pub rules: Vec<Rule>,
    /// The clients that are exempt from some of the rules.
    pub tables: Vec<ClientTable>,
    /// Settings that are not understood, or conflict with spamdrop.
    pub notes: Vec<Note>,
}

/// A file that holds settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Its path.
    pub path: String,
    /// When it was changed last, in seconds since 1970; `null`: it did not
    /// exist.
    pub modified_unix_s: Option<u64>,
}

/// The number of connections that the server serves at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SlotSetting {
    /// This number.
    Known {
        /// The number; never 0.
        count: u32,
        /// The setting that gives it.
        setting: String,
    },
    /// It is not known, for this reason.
    Unknown(String),
}

/// Whether port 25 offers AUTH.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthSetting {
    /// It does, by this setting; perhaps only after STARTTLS.
    Offered(String),
    /// It does not.
    Absent,
    /// It is not known, for this reason.
    Unknown(String),
}

/// A remark about one setting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Note {
    /// The setting of the mail server.
    pub setting: String,
    /// Why the setting is unwise, or that it is not understood, and the next step.
    pub text: String,
}

/// The content of a file that the settings name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contents {
    /// The text.
    Text(String),
    /// There is no such file.
    Absent,
    /// The file cannot be read, for this reason.
    Unreadable(String),
}

/// Reads a file that the settings name.
pub type ReadFile<'a> = dyn Fn(&str) -> Contents + 'a;

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn name<S: Serializer>(server: &MailServer, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(server.name())
}

impl Note {
    /// A remark about a setting. Customer keys in the names of zones are masked. The
    /// text may quote a long word of a file, so it is truncated.
    fn new(setting: &str, text: &str) -> Self {
        let cut = |text: &str| text.chars().take(LONGEST_NOTE).collect();
        Self {
            setting: cut(setting),
            text: cut(&mask(text)),
        }
    }
}

impl SettingsFile {
    /// The settings of a server.
    #[must_use]
    pub fn of_server(&self, server: MailServer) -> Option<&ServerSettings> {
        self.servers
            .iter()
            .find(|settings| settings.server == server)
    }

    /// The files of the settings.
    pub fn files(&self) -> impl Iterator<Item = &SourceFile> {
        self.servers.iter().flat_map(|settings| &settings.files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_has_its_own_settings_and_files() {
        let of = |server: MailServer| ServerSettings {
            server,
            files: vec![SourceFile {
                path: server.name().into(),
                modified_unix_s: None,
            }],
            slots: SlotSetting::Unknown(String::new()),
            auth: AuthSetting::Absent,
            rules: Vec::new(),
            tables: Vec::new(),
            notes: Vec::new(),
        };
        let servers = [MailServer::Postfix, MailServer::Exim].map(of);
        let file = SettingsFile {
            version: VERSION,
            read_unix_s: 0,
            servers: servers.to_vec(),
        };
        for settings in &servers {
            assert_eq!(file.of_server(settings.server), Some(settings));
        }
        assert_eq!(file.of_server(MailServer::Courier), None);
        let paths = file.files().map(|file| file.path.as_str());
        assert!(paths.eq(["postfix", "exim"]));
    }
}
