//! The pinned maps: the only module that reads and writes them.

pub mod allow;
pub mod pins;
pub mod sweep;

use std::net::IpAddr;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use anyhow::{Context as _, Result};
use aya::Pod;
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray};
use ipnet::IpNet;
use spamdrop_common::{
    counter::Counters,
    entry::{AllowEntry, CidrEntry, Entry, ORIGIN_HAND, ORIGIN_LOG, Origin, SEALED},
    names,
    settings::Settings,
    verdict::{expiry, is_cidr_live, is_live},
};

use crate::bpf;
use crate::exit::{Exit, Failure};
use crate::lock::Turn;
use crate::target::{Target, full_key};

/// The pinned maps, open.
pub struct Blocklist {
    v4: HashMap<MapData, [u8; 4], Entry>,
    v6: HashMap<MapData, [u8; 8], Entry>,
    cidr4: LpmTrie<MapData, [u8; 4], CidrEntry>,
    cidr6: LpmTrie<MapData, [u8; 16], CidrEntry>,
    allow4: LpmTrie<MapData, [u8; 4], AllowEntry>,
    allow6: LpmTrie<MapData, [u8; 16], AllowEntry>,
    settings: Array<MapData, Settings>,
    counters: PerCpuArray<MapData, Counters>,
    origins: HashMap<MapData, [u8; 16], Origin>,
    capacity: pins::Capacity,
}

/// How long an entry lasts. See [`Entry`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// The offence or the command, `CLOCK_MONOTONIC` nanoseconds.
    pub start: u64,
    /// Seconds until it expires without a hit.
    pub ttl_s: u32,
    /// Whether hits slide the expiry.
    pub slides: bool,
    /// Seconds from `start` after which no hit helps; 0: no limit.
    pub hard_limit_s: u32,
}

impl Term {
    fn entry(&self, flags: u16) -> Entry {
        let hard_until_s = match self.hard_limit_s {
            0 => 0,
            limit => seconds(self.start).saturating_add(limit),
        };
        Entry {
            expires: expiry(self.start, self.ttl_s, hard_until_s),
            hard_until_s,
            ttl_s: if self.slides { self.ttl_s } else { 0 },
            flags,
            ..Entry::default()
        }
    }
}

fn seconds(ns: u64) -> u32 {
    u32::try_from(ns / spamdrop_common::verdict::SECOND).unwrap_or(u32::MAX)
}

/// An entry of the blocklist, as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// What it covers.
    pub target: Target,
    /// Its value; for a prefix, made to look like a sealed, fixed entry.
    pub entry: Entry,
}

impl Blocklist {
    /// Opens the maps that are pinned in `dir`, whatever their capacity.
    ///
    /// # Errors
    ///
    /// Nothing is pinned ([`Exit::NotAttached`]), or a map of another layout.
    pub fn open(dir: &Path) -> Result<Self> {
        if !pins::exist(dir)? {
            let message = format!(
                "no filter is attached (nothing is pinned in {}); start one with `spamdrop attach IFACE` or `spamdrop run`",
                dir.display()
            );
            return Err(Failure::new(Exit::NotAttached, message));
        }
        pins::check(dir, None)?;
        let v4 = data(dir, names::BLOCKED4)?;
        let v6 = data(dir, names::BLOCKED6)?;
        let capacity = pins::Capacity {
            v4: v4.info()?.max_entries(),
            v6: v6.info()?.max_entries(),
        };
        Ok(Self {
            v4: typed(v4, Map::LruHashMap)?,
            v6: typed(v6, Map::LruHashMap)?,
            cidr4: typed(data(dir, names::CIDR4)?, Map::LpmTrie)?,
            cidr6: typed(data(dir, names::CIDR6)?, Map::LpmTrie)?,
            allow4: typed(data(dir, names::ALLOW4)?, Map::LpmTrie)?,
            allow6: typed(data(dir, names::ALLOW6)?, Map::LpmTrie)?,
            settings: typed(data(dir, names::SETTINGS)?, Map::Array)?,
            counters: typed(data(dir, names::COUNTERS)?, Map::PerCpuArray)?,
            origins: typed(data(dir, names::ORIGINS)?, Map::HashMap)?,
            capacity,
        })
    }

    /// The sizes of the block maps.
    #[must_use]
    pub fn capacity(&self) -> pins::Capacity {
        self.capacity
    }

    /// Blocks an offender of the log. A live entry keeps its hits, and one
    /// made by hand keeps its term too; a sealed entry opens again unless
    /// `sealed`, for the session that earned the new offence.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation.
    pub fn offence(
        &mut self,
        _turn: &Turn,
        addr: IpAddr,
        term: Term,
        sealed: bool,
        origin: &Origin,
    ) -> Result<()> {
        // First why, then what: whoever finds the entry finds its reason.
        if let Err(error) = self.origins.insert(full_key(addr), origin, 0) {
            log::debug!("no room to note why {addr} is blocked: {error}");
        }
        let seal = if sealed { SEALED } else { 0 };
        let mut entry = term.entry(ORIGIN_LOG | seal);
        if let Some(old) = self
            .host(addr.into())?
            .filter(|old| is_live(old.expires, term.start))
        {
            entry.hits = old.hits;
            entry.refreshes = old.refreshes;
            entry.expires = entry.expires.max(old.expires);
            if old.flags & ORIGIN_HAND != 0 {
                entry = Entry {
                    flags: ORIGIN_HAND | seal,
                    ..old
                };
            }
        }
        self.put(addr.into(), entry)
    }

    /// Adds entries by hand; an older entry of the same target is replaced.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation; targets before the failing one may
    /// have been added.
    pub fn add(&mut self, _turn: &Turn, targets: &[(Target, bool)], term: Term) -> Result<()> {
        let (mut v4, mut v6) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
        let mut prefixes = false;
        for &(target, sealed) in targets {
            let entry = term.entry(ORIGIN_HAND | if sealed { SEALED } else { 0 });
            match target {
                Target::V4(key) => push(&mut v4, key, entry),
                Target::V6(key) => push(&mut v6, key, entry),
                Target::Net(net) => {
                    self.put_prefix(net, seconds(entry.expires))?;
                    prefixes = true;
                }
            }
        }
        bpf::update(fd(&self.v4), &v4.0, &v4.1).context("cannot add to blocked4")?;
        bpf::update(fd(&self.v6), &v6.0, &v6.1).context("cannot add to blocked6")?;
        if prefixes {
            self.count_prefixes()
        } else {
            Ok(())
        }
    }

    /// Notes why an address was blocked by hand.
    ///
    /// # Errors
    ///
    /// The map is full, or the kernel refuses.
    pub fn note(&mut self, _turn: &Turn, addr: IpAddr, origin: &Origin) -> Result<()> {
        self.origins
            .insert(full_key(addr), origin, 0)
            .context("cannot note the reason")
    }

    /// Removes an entry, with its origins; whether it was there.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation.
    pub fn remove(&mut self, _turn: &Turn, target: Target) -> Result<bool> {
        let removed = match target {
            Target::V4(key) => present(self.v4.remove(&key))?,
            Target::V6(key) => present(self.v6.remove(&key))?,
            Target::Net(IpNet::V4(net)) => {
                let key = Key::new(net.prefix_len().into(), net.addr().octets());
                present(self.cidr4.remove(&key))?
            }
            Target::Net(IpNet::V6(net)) => {
                let key = Key::new(net.prefix_len().into(), net.addr().octets());
                present(self.cidr6.remove(&key))?
            }
        };
        match target {
            Target::V4(key) => {
                present(self.origins.remove(&full_key(key.into())))?;
            }
            // The origins of a /64's addresses go with the next sweep.
            Target::V6(_) => {}
            Target::Net(_) => self.count_prefixes()?,
        }
        Ok(removed)
    }

    /// Drops every packet of `target` from now on; nothing if it has no entry.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation.
    pub fn seal(&mut self, _turn: &Turn, target: Target) -> Result<()> {
        // A refresh by the filter between these two calls is lost; its packet
        // came from a peer without a connection, whose next one refreshes.
        match self.host(target)? {
            Some(entry) if entry.flags & SEALED == 0 => self.put(
                target,
                Entry {
                    flags: entry.flags | SEALED,
                    ..entry
                },
            ),
            _ => Ok(()),
        }
    }

    /// The live entries that cover an address, the narrowest first.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation.
    pub fn covering(&self, addr: IpAddr, now: u64) -> Result<Vec<Found>> {
        let target = Target::from(addr);
        let mut found = Vec::new();
        if let Some(entry) = self
            .host(target)?
            .filter(|entry| is_live(entry.expires, now))
        {
            found.push(Found { target, entry });
        }
        let mut prefixes = self.prefixes()?;
        prefixes.retain(|(net, prefix)| {
            net.contains(&addr.to_canonical()) && is_cidr_live(prefix, now)
        });
        prefixes.sort_by_key(|(net, _)| std::cmp::Reverse(net.prefix_len()));
        found.extend(prefixes.into_iter().map(from_prefix));
        Ok(found)
    }

    /// Whether `target` itself has a live entry; prefixes do not count.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation.
    pub fn is_blocked(&self, target: Target, now: u64) -> Result<bool> {
        Ok(self
            .host(target)?
            .is_some_and(|entry| is_live(entry.expires, now)))
    }

    /// Why an address is blocked, if that is known.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation.
    pub fn origin(&self, addr: IpAddr) -> Result<Option<Origin>> {
        optional(self.origins.get(&full_key(addr), 0))
    }

    /// Visits every entry, live or expired, in no order.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation.
    pub fn for_each(&self, mut visit: impl FnMut(Found)) -> Result<()> {
        let mut each = |target, entry| visit(Found { target, entry });
        walk(&self.v4, |key, entry| each(Target::V4(key), entry))?;
        walk(&self.v6, |key, entry| each(Target::V6(key), entry))?;
        for prefix in self.prefixes()? {
            visit(from_prefix(prefix));
        }
        Ok(())
    }

    /// Visits the origin of every address.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation.
    pub fn for_each_origin(&self, mut visit: impl FnMut(IpAddr, Origin)) -> Result<()> {
        walk(&self.origins, |key, origin| {
            visit(crate::target::from_full_key(key), origin)
        })
    }

    /// Marks the connections of an address as released.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation.
    pub fn released(&mut self, _turn: &Turn, addr: IpAddr) -> Result<()> {
        let Some(mut origin) = self.origin(addr)? else {
            return Ok(());
        };
        origin.release_pending = 0;
        self.origins
            .insert(full_key(addr), origin, 0)
            .context("cannot update origins")
    }

    /// The filter's settings.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation.
    pub fn settings(&self) -> Result<Settings> {
        self.settings.get(&0, 0).context("cannot read settings")
    }

    /// Replaces what the configuration chooses in the filter's settings.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation.
    pub fn configure(&mut self, _turn: &Turn, settings: Settings) -> Result<()> {
        self.settings
            .set(0, settings, 0)
            .context("cannot write settings")?;
        self.count_prefixes()
    }

    /// The counters of all CPUs together.
    ///
    /// # Errors
    ///
    /// The kernel refuses a map operation.
    pub fn counters(&self) -> Result<Counters> {
        let cpus = self.counters.get(&0, 0).context("cannot read counters")?;
        let mut sum = Counters::default();
        cpus.iter().for_each(|cpu| sum.add(cpu));
        Ok(sum)
    }

    fn host(&self, target: Target) -> Result<Option<Entry>> {
        match target {
            Target::V4(key) => optional(self.v4.get(&key, 0)),
            Target::V6(key) => optional(self.v6.get(&key, 0)),
            Target::Net(_) => Ok(None),
        }
    }

    fn put(&mut self, target: Target, entry: Entry) -> Result<()> {
        match target {
            Target::V4(key) => self.v4.insert(key, entry, 0),
            Target::V6(key) => self.v6.insert(key, entry, 0),
            Target::Net(_) => Ok(()),
        }
        .with_context(|| format!("cannot block {target}"))
    }

    fn put_prefix(&mut self, net: IpNet, expires_s: u32) -> Result<()> {
        let value = CidrEntry { expires_s, hits: 0 };
        let length = net.prefix_len().into();
        match net {
            IpNet::V4(net) => self
                .cidr4
                .insert(&Key::new(length, net.addr().octets()), value, 0),
            IpNet::V6(net) => self
                .cidr6
                .insert(&Key::new(length, net.addr().octets()), value, 0),
        }
        .with_context(|| format!("cannot block {net}"))
    }

    fn prefixes(&self) -> Result<Vec<(IpNet, CidrEntry)>> {
        let mut all = Vec::new();
        for item in self.cidr4.iter() {
            let (key, value) = item.context("cannot read cidr4")?;
            all.extend(net(key.data().into(), key.prefix_len()).map(|net| (net, value)));
        }
        for item in self.cidr6.iter() {
            let (key, value) = item.context("cannot read cidr6")?;
            all.extend(net(key.data().into(), key.prefix_len()).map(|net| (net, value)));
        }
        Ok(all)
    }

    /// Tells the filter whether the tries are worth a look.
    fn count_prefixes(&mut self) -> Result<()> {
        let prefixes = self.prefixes()?;
        let v4 = prefixes
            .iter()
            .filter(|(net, _)| net.addr().is_ipv4())
            .count();
        let mut settings = self.settings()?;
        settings.cidrs4 = u32::try_from(v4).unwrap_or(u32::MAX);
        settings.cidrs6 = u32::try_from(prefixes.len() - v4).unwrap_or(u32::MAX);
        self.settings
            .set(0, settings, 0)
            .context("cannot write settings")
    }
}

fn net(addr: IpAddr, length: u32) -> Option<IpNet> {
    IpNet::new(addr, u8::try_from(length).ok()?).ok()
}

fn from_prefix((net, prefix): (IpNet, CidrEntry)) -> Found {
    let end_s = u64::from(prefix.expires_s) + 1;
    Found {
        target: Target::Net(net),
        entry: Entry {
            expires: end_s * spamdrop_common::verdict::SECOND - 1,
            hits: prefix.hits,
            flags: ORIGIN_HAND | SEALED,
            ..Entry::default()
        },
    }
}

fn push<K>((keys, values): &mut (Vec<K>, Vec<Entry>), key: K, entry: Entry) {
    keys.push(key);
    values.push(entry);
}

fn data(dir: &Path, name: &str) -> Result<MapData> {
    let path = dir.join(name);
    MapData::from_pin(&path)
        .with_context(|| format!("cannot open the pinned map {}", path.display()))
}

fn typed<M: TryFrom<Map, Error = MapError>>(data: MapData, kind: fn(MapData) -> Map) -> Result<M> {
    Ok(kind(data).try_into()?)
}

fn fd<K: Pod, V: Pod>(map: &HashMap<MapData, K, V>) -> BorrowedFd<'_> {
    use aya::maps::IterableMap as _;
    map.map().fd().as_fd()
}

fn walk<K: Pod, V: Pod>(map: &HashMap<MapData, K, V>, mut visit: impl FnMut(K, V)) -> Result<()> {
    bpf::for_each(fd(map), |keys: &[K], values: &[V]| {
        keys.iter()
            .zip(values)
            .for_each(|(key, value)| visit(*key, *value));
        Ok(())
    })
    .context("cannot read a block map")
}

fn optional<T>(result: Result<T, MapError>) -> Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(MapError::KeyNotFound) => Ok(None),
        Err(error) => Err(error).context("cannot look an address up"),
    }
}

fn present(result: Result<(), MapError>) -> Result<bool> {
    match result {
        Ok(()) => Ok(true),
        Err(MapError::KeyNotFound) => Ok(false),
        Err(MapError::SyscallError(error))
            if error.io_error.raw_os_error() == Some(libc::ENOENT) =>
        {
            Ok(false)
        }
        Err(error) => Err(error).context("cannot remove an address"),
    }
}
