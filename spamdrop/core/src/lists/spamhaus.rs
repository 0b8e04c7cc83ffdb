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

#[cfg(test)]
mod tests {
    use spamdrop_common::time::MonotonicNs;

    use super::*;
    use crate::term::Term;

    #[test]
    fn only_the_description_of_the_list_has_no_prefix() {
        let reader = ListReader::new(Term {
            start: MonotonicNs::from_second(1),
            ttl_s: 600,
            slides: true,
            hard_limit_s: 0,
        });
        let read = |cidr: Option<&str>, kind: Option<&str>| {
            let [cidr, kind] = [cidr, kind].map(|text| text.map(str::to_owned));
            let entry = DropRecord { cidr, kind }.read(&reader);
            entry.map(|entry| entry.is_some())
        };
        assert_eq!(read(Some("192.0.2.0/24"), None), Ok(true));
        assert_eq!(read(None, Some("metadata")), Ok(false));
        assert!(read(None, Some("asn")).is_err());
        assert!(read(None, None).is_err());
    }
}
