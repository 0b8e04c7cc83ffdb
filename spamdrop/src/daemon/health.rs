//! The registry of current problems, owned by the status task.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use spamdrop_core::notice::Notice;

/// The parts of the daemon that can have a problem. Each has at most one text
/// at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// The interface of this name, which does not have the filter.
    Interface(String),
    /// The interface of this name, which has the filter, but not as configured.
    Impaired(String),
    /// The list of interfaces, which cannot be read.
    Interfaces,
    /// Interfaces whose packets the filter cannot read.
    Traffic,
    /// Notifications about addresses, routes and interfaces.
    Network,
    /// The allowlist and the machine's own addresses.
    Allowlist,
    /// Ends of the allowlist's entries that cannot be read.
    AllowEnds,
    /// The filter's settings.
    Settings,
    /// Keys of the configuration that only a new start applies.
    PendingChanges,
    /// The log of packets.
    PacketLog,
    /// A proxy that hides the senders' addresses.
    Proxy,
    /// The write lock, which another process holds.
    WriteLock,
    /// The thread for work that may wait for a disk.
    DiskThread,
    /// The logs that are read.
    Sources,
    /// The log of this path, which the daemon's account may not read.
    Unreadable(PathBuf),
    /// The log of this path, which has no new lines.
    Silence(PathBuf),
    /// The log of this path, whose stamps are in another time zone.
    TimeZone(PathBuf),
    /// Lines that look like rejections and are not understood.
    NearMisses,
    /// The saved positions up to which the logs were read.
    Positions,
    /// The known senders, which the ceiling needs from the database.
    CeilingSenders,
    /// Evidence about senders that is to be written to the database.
    Reputation,
    /// The split of blocked /64s that hold a protected or known address.
    Splits,
    /// The copy of the known senders in the filter.
    KnownSenders,
    /// Writes of the wave history to the database.
    WaveHistory,
    /// Samples for the history of waves.
    Samples,
    /// The gate.
    Gate,
    /// The number of the mail server's slots.
    Slots,
    /// The mail server's settings, which changed since root read them, or are unknown.
    ServerSettings,
    /// The mail server's connections, which the daemon must see to count them.
    Visibility,
    /// Verdicts of zones that were removed or are broken, which may be left in the
    /// filter.
    Verdicts,
    /// The resolver and the zones.
    Resolver,
    /// The daily budget of look-ups.
    Lookups,
    /// Zones that refuse to answer.
    Zones,
    /// Zones that list everybody, or whose answers are no listings.
    BrokenZones,
    /// Zones that cannot be tested.
    UntestedZones,
    /// Name servers that are silent.
    NameServers,
    /// Connections of blocked peers.
    Release,
    /// The rights for `release = "terminate"`.
    Terminate,
    /// Entries of peers that connected during a pause.
    PausedPeers,
    /// Releases that an earlier daemon or `add` left pending.
    PendingReleases,
    /// The responder.
    Responder,
    /// The zones by which the responder knows listed senders.
    ResponderZones,
    /// The FIFO.
    Fifo,
    /// The daemon's state file.
    StateFile,
    /// The blocks that are saved for the next boot.
    SavedBlocks,
    /// Writes of the history to the database.
    History,
    /// Changes of the holds of owners in the database, by the task of this name: `sweep`
    /// removes those that are over, the others store them.
    OwnerEnds(&'static str),
}

impl Subject {
    /// Whether a problem impairs the protection. Problems that do not:
    ///
    /// - records and logs are incomplete;
    /// - an entry of the allowlist has a malformed end, so it has none;
    /// - the look-ups of a day are used up, as by a flood of forged addresses;
    /// - a zone cannot be tested: rejections by it still block;
    /// - keys wait for a restart, or settings of the mail server for a reload: their old
    ///   values protect as well;
    /// - the mail server sees a proxy's address, or a log is in another time zone;
    /// - an interface: `status` checks the interfaces itself.
    fn degrades(&self) -> bool {
        !matches!(
            self,
            Self::Interface(_)
                | Self::Impaired(_)
                | Self::AllowEnds
                | Self::PacketLog
                | Self::PendingChanges
                | Self::Positions
                | Self::Reputation
                | Self::WaveHistory
                | Self::Samples
                | Self::Lookups
                | Self::UntestedZones
                | Self::Proxy
                | Self::ServerSettings
                | Self::TimeZone(_)
                | Self::StateFile
                | Self::SavedBlocks
                | Self::History
                | Self::OwnerEnds(_)
        )
    }

    /// The event as which the problem is logged, for programs that read the journal.
    fn notice(&self) -> Option<Notice> {
        match self {
            Self::Interface(_) => Some(Notice::InterfaceLost),
            Self::BrokenZones | Self::Zones => Some(Notice::ZoneBroken),
            _ => None,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interface(name) => name,
            Self::Impaired(name) => return write!(f, "filter on {name}"),
            Self::Silence(path) => return path.display().fmt(f),
            Self::Unreadable(path) => return write!(f, "access to {}", path.display()),
            Self::TimeZone(path) => return write!(f, "time zone of {}", path.display()),
            Self::Interfaces => "interfaces",
            Self::Traffic => "traffic",
            Self::Network => "network",
            Self::Allowlist => "allowlist",
            Self::AllowEnds => "end times in the allowlist",
            Self::Settings => "settings",
            Self::PendingChanges => "configuration",
            Self::PacketLog => "packet log",
            Self::Proxy => "proxy",
            Self::WriteLock => "write lock",
            Self::DiskThread => "disk thread",
            Self::Sources => "sources",
            Self::NearMisses => "near misses",
            Self::Positions => "log positions",
            Self::CeilingSenders => "known senders for the ceiling",
            Self::Reputation => "sender database",
            Self::Splits => "blocked /64s",
            Self::KnownSenders => "known senders",
            Self::WaveHistory => "wave history",
            Self::Samples => "wave samples",
            Self::Gate => "gate",
            Self::Slots => "slots",
            Self::ServerSettings => "server settings",
            Self::Visibility => "connections",
            Self::Verdicts => "verdicts",
            Self::Resolver => "resolver",
            Self::Lookups => "look-ups",
            Self::Zones => "zones",
            Self::BrokenZones => "broken zones",
            Self::UntestedZones => "untested zones",
            Self::NameServers => "name servers",
            Self::Release => "release",
            Self::Terminate => "rights to terminate",
            Self::PendingReleases => "pending releases",
            Self::PausedPeers => "paused peers",
            Self::Responder => "responder",
            Self::ResponderZones => "zones for the responder",
            Self::Fifo => "fifo",
            Self::StateFile => "state file",
            Self::SavedBlocks => "saved blocks",
            Self::History => "history",
            Self::OwnerEnds(task) => return write!(f, "holds of owners ({task})"),
        })
    }
}

/// Current problems by subject. Each change is logged once.
#[derive(Debug, Default)]
pub(super) struct Registry(BTreeMap<Subject, String>);

impl Registry {
    pub fn raise(&mut self, subject: Subject, text: String) {
        if self.0.get(&subject) != Some(&text) {
            match subject.notice() {
                Some(notice) => log::warn!(target: notice.target(), "{text}"),
                None => log::warn!("{text}"),
            }
            self.0.insert(subject, text);
        }
    }

    pub fn clear(&mut self, subject: &Subject) {
        if self.0.remove(subject).is_some() {
            log::info!("{subject}: recovered");
        }
    }

    /// The texts, in the order of the subjects.
    pub fn texts(&self) -> Vec<String> {
        self.0.values().cloned().collect()
    }

    /// The texts of the problems that impair the protection.
    pub fn degraded_by(&self) -> Vec<String> {
        let impairing = self.0.iter().filter(|(subject, _)| subject.degrades());
        impairing.map(|(_, text)| text.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_has_one_text_until_it_is_cleared() {
        let mut registry = Registry::default();
        registry.raise(Subject::Gate, "first".into());
        registry.raise(Subject::Gate, "second".into());
        registry.raise(Subject::Interface("eth1".into()), "eth1".into());
        registry.raise(Subject::Interface("eth0".into()), "eth0".into());
        registry.raise(Subject::Lookups, "spent".into());
        assert_eq!(registry.texts(), ["eth0", "eth1", "second", "spent"]);
        assert_eq!(registry.degraded_by(), ["second"]);
        // A missing filter causes a notice; a filter that is not as configured does not.
        assert_eq!(
            Subject::Interface("eth0".into()).notice(),
            Some(Notice::InterfaceLost)
        );
        let impaired = Subject::Impaired("eth0".into());
        assert_eq!((impaired.notice(), impaired.degrades()), (None, false));
        registry.clear(&Subject::Lookups);
        registry.clear(&Subject::Gate);
        registry.clear(&Subject::Gate);
        registry.clear(&Subject::Interface("eth1".into()));
        assert_eq!(registry.texts(), ["eth0"]);
    }
}
