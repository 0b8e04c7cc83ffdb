//! `drop_v4.json` and `drop_v6.json` of Spamhaus: a line is an object such as
//! `{"cidr":"1.10.16.0/20","sblid":"SBL256894","rir":"apnic"}`, and the last one
//! describes the list: `{"type":"metadata","timestamp":…}`.

use serde::Deserialize;

use crate::invalid::Invalid;
use crate::listing::{ListEntry, ListReader};

/// An object of the list.
#[derive(Clone, Debug, Deserialize)]
pub struct DropRecord {
    cidr: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

impl DropRecord {
    /// The entry of the object; `None` if the object describes the list.
    ///
    /// # Errors
    ///
    /// The object names no prefix.
    pub fn read(&self, reader: &ListReader) -> Result<Option<ListEntry>, Invalid> {
        match (&self.cidr, &self.kind) {
            (Some(cidr), _) => reader.read_address(cidr.as_bytes(), None).map(Some),
            (None, Some(kind)) if kind == "metadata" => Ok(None),
            (None, _) => Err(Invalid::new("the object has no `cidr`")),
        }
    }
}
