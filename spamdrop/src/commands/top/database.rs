//! Reads the newest events, the last wave and the names of owners from the database.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::rc::Rc;

use anyhow::Result;
use spamdrop_core::owners::OwnerNames;
use spamdrop_core::wave::Wave;

use crate::commands::meter::Meter;
use crate::render::history::HistoryRow;
use crate::store::{STATUS_WAIT, Store};

/// Maximum number of events in a snapshot.
const EVENTS: u32 = 50;
/// A read takes at most 0.1 % of a processor.
const PART: u32 = 1_000;

/// The database, which stays open for reads.
pub(super) struct DatabaseReader {
    path: PathBuf,
    open: Option<OpenStore>,
    meter: Meter,
    pub events: Vec<HistoryRow>,
    pub last_wave: Option<Wave>,
    pub owner_names: Rc<OwnerNames>,
    /// Why the last read failed.
    pub error: Option<String>,
}

struct OpenStore {
    store: Store,
    /// The device and the inode number of the file.
    file: (u64, u64),
}

impl DatabaseReader {
    /// A reader that has read nothing yet.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            open: None,
            meter: Meter::new(PART),
            events: Vec::new(),
            last_wave: None,
            owner_names: Rc::default(),
            error: None,
        }
    }

    /// Reads, if that is due. After an error there are no events and no wave.
    pub fn read(&mut self) {
        if !self.meter.is_due() {
            return;
        }
        let mut meter = self.meter;
        let read = meter.measure(|| self.read_now());
        self.meter = meter;
        self.error = read.as_ref().err().map(|error| format!("{error:#}"));
        if read.is_err() {
            self.open = None;
        }
        (self.events, self.last_wave, self.owner_names) = read.unwrap_or_default();
    }

    fn read_now(&mut self) -> Result<(Vec<HistoryRow>, Option<Wave>, Rc<OwnerNames>)> {
        // The file may have been moved away, and another one made.
        let file = fs::metadata(&self.path);
        let file = file.ok().map(|file| (file.dev(), file.ino()));
        if self.open.as_ref().map(|open| open.file) != file {
            let store = Store::read_existing(&self.path, STATUS_WAIT)?;
            let open = store.zip(file);
            self.open = open.map(|(store, file)| OpenStore { store, file });
        }
        let Some(OpenStore { store, .. }) = &self.open else {
            return Ok(Default::default());
        };
        let events = store.newest_history(EVENTS)?.into_iter();
        let events = events.map(HistoryRow::new).collect();
        Ok((events, store.last_wave()?, Rc::new(store.owner_names()?)))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use std::path::Path;

    use spamdrop_core::history::{HistoryEvent, HistoryKind};
    use spamdrop_core::time::UnixSeconds;

    fn write(path: &Path, addr: &str) {
        let mut store = Store::open(path, STATUS_WAIT).unwrap();
        let net = Some(addr.parse().unwrap());
        let event = HistoryEvent::new(HistoryKind::Blocked, net, UnixSeconds::new(1));
        store.write_history(&[event]).unwrap();
    }

    fn addresses(reader: &mut DatabaseReader) -> Vec<String> {
        reader.meter = Meter::new(PART);
        reader.read();
        let events = reader.events.iter();
        events.map(|it| it.addr.unwrap().to_string()).collect()
    }

    #[test]
    fn it_follows_the_file_and_names_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spamdrop.db");
        let mut reader = DatabaseReader::new(path.clone());
        assert!(addresses(&mut reader).is_empty());
        assert_eq!(reader.error, None);
        write(&path, "192.0.2.1/32");
        assert_eq!(addresses(&mut reader), ["192.0.2.1"]);
        // The open file shows what was written since.
        write(&path, "192.0.2.2/32");
        assert_eq!(addresses(&mut reader), ["192.0.2.2", "192.0.2.1"]);
        fs::rename(&path, dir.path().join("old")).unwrap();
        write(&path, "192.0.2.3/32");
        assert_eq!(addresses(&mut reader), ["192.0.2.3"]);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "no database").unwrap();
        assert!(addresses(&mut reader).is_empty());
        assert!(reader.error.is_some());
    }
}
