//! The commands of owners with a name, in the disk thread: their bits are in the
//! database.

use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Result;
use spamdrop_core::owners::EntryOwner;
use spamdrop_core::recent::Command;
use spamdrop_core::target::Target;

use super::complaints::CommandRefusal;
use super::orders::{reason, term};
use super::{FifoTask, LOCK_WAIT};
use crate::clock;
use crate::daemon::block::BlockRule;
use crate::kernel::blocklist::Blocklist;
use crate::lock::WriteLock;
use crate::owned_blocks::{self, OwnerStore, Released};
use crate::store::DAEMON_WAIT;

/// The most commands of one job, which holds the write lock.
const MOST: usize = 256;

/// The files and pins that a job needs.
#[derive(Clone)]
pub(in crate::daemon) struct OwnedPlaces {
    pub store: PathBuf,
    pub pin_dir: PathBuf,
    pub run_dir: PathBuf,
}

/// The results of a job.
#[derive(Default)]
pub(super) struct Carried {
    done: Vec<(Order, Result<Done>)>,
    /// Commands that the write lock kept from being carried out.
    rest: Vec<Order>,
}

/// A command, and the entry that it concerns.
#[derive(Clone)]
struct Order {
    addr: IpAddr,
    target: Target,
    /// `None`: the owner lets go.
    seconds: Option<u32>,
    owner: EntryOwner,
}

enum Done {
    Held { is_renewed: bool },
    Released(Released),
}

impl FifoTask {
    /// Begins to carry out the commands of owners that wait first.
    pub(super) fn begin_owned(&mut self) {
        let mut orders = Vec::new();
        while let Some(Command::Hold(..) | Command::Release(..)) = self.waiting.front()
            && orders.len() < MOST
        {
            orders.extend(self.waiting.pop_front().and_then(|it| self.order(it)));
        }
        if orders.is_empty() {
            return;
        }
        let (places, rule) = (self.places.clone(), self.settings.rule.clone());
        self.owned = Some(self.disk.submit(move || carry_out(&places, &rule, orders)));
    }

    /// The order of a command; `None` if its address must not be blocked.
    fn order(&mut self, command: Command) -> Option<Order> {
        let (addr, seconds, owner) = match command {
            Command::Hold(addr, seconds, owner) => (addr, Some(seconds), owner),
            Command::Release(addr, owner) => (addr, None, owner),
            Command::Add(..) | Command::Remove(_) | Command::Flush => return None,
        };
        if let Some(why) = self.scope.protected.why(addr).filter(|_| seconds.is_some()) {
            self.counts.protected += 1;
            let text = format!("{addr} not blocked: {why}");
            self.complaints.log(CommandRefusal::Protected, &text);
            return None;
        }
        Some(Order {
            addr,
            target: self.scope.target(addr),
            seconds,
            owner,
        })
    }

    /// Takes the results of a job; `None`: its thread died.
    pub(super) fn take_carried(&mut self, carried: Option<Carried>) {
        self.owned = None;
        let Some(Carried { done, rest }) = carried else {
            self.counts.failed += 1;
            let text = "commands of owners are lost: the disk thread died";
            return self.complaints.log(CommandRefusal::Failed, text);
        };
        self.refused = match rest.is_empty() {
            true => None,
            false => Some(self.refused.unwrap_or_else(clock::instant)),
        };
        for order in rest.into_iter().rev() {
            let Order { addr, owner, .. } = order;
            self.waiting.push_front(match order.seconds {
                Some(seconds) => Command::Hold(addr, seconds, owner),
                None => Command::Release(addr, owner),
            });
        }
        for (order, done) in done {
            self.note(&order, done);
        }
        self.tell();
    }

    fn note(&mut self, order: &Order, done: Result<Done>) {
        let Order {
            addr,
            target,
            owner,
            ..
        } = order;
        match done {
            Ok(Done::Held { is_renewed }) => {
                let term = term(order.seconds.unwrap_or_default());
                self.blocked(*addr, *target, is_renewed, term);
                log::debug!(target: "spamdrop::fifo", "blocked {addr}: {owner}");
            }
            Ok(Done::Released(Released { removed, kept })) => {
                if removed.is_empty() && kept.is_empty() {
                    log::debug!(target: "spamdrop::fifo", "{owner} does not hold {addr}");
                    return;
                }
                self.counts.removed += u64::from(!removed.is_empty());
                self.record(Some(*addr), &format!("remove {addr} --owner {owner}"));
                log::debug!(target: "spamdrop::fifo", "{owner} let {addr} go");
            }
            Err(error) => {
                self.counts.failed += 1;
                self.complaints
                    .log(CommandRefusal::Failed, &format!("{error:#}"));
            }
        }
    }
}

fn carry_out(places: &OwnedPlaces, rule: &BlockRule, orders: Vec<Order>) -> Carried {
    let mut carried = Carried::default();
    let mut store = OwnerStore::new(&places.store, DAEMON_WAIT);
    let begin = || -> Result<Option<(WriteLock, Blocklist)>> {
        let blocklist = Blocklist::open(&places.pin_dir)?;
        let lock = WriteLock::try_acquire(&places.run_dir, LOCK_WAIT)?;
        Ok(lock.map(|lock| (lock, blocklist)))
    };
    match begin() {
        Ok(Some((lock, mut blocklist))) => {
            for order in orders {
                let done = carry_out_one(&lock, &mut blocklist, &mut store, rule, &order);
                carried.done.push((order, done));
            }
        }
        Ok(None) => carried.rest = orders,
        Err(error) => {
            // One complaint stands for all.
            let first = orders.into_iter().next();
            carried.done.extend(first.map(|order| (order, Err(error))));
        }
    }
    carried
}

fn carry_out_one(
    lock: &WriteLock,
    blocklist: &mut Blocklist,
    store: &mut OwnerStore,
    rule: &BlockRule,
    order: &Order,
) -> Result<Done> {
    let Order {
        addr,
        target,
        seconds,
        owner,
    } = order;
    let Some(seconds) = seconds else {
        let names = store.existing()?.map(|store| store.owner_names());
        let Some(bit) = names.transpose()?.and_then(|names| names.bit(owner)) else {
            return Ok(Done::Released(Released::default()));
        };
        let mut targets: Vec<Target> = Target::covering(*addr).collect();
        targets.sort_unstable();
        let released = owned_blocks::release(lock, blocklist, store, bit.into(), &targets)?;
        return Ok(Done::Released(released));
    };
    let bit = store.registered(owner, blocklist)?;
    let term = term(*seconds);
    let origin = reason(blocklist.origin(*addr)?, term.start, rule);
    let key = (*addr, *target);
    let blocked = blocklist.block(lock, key, bit, term, rule.sealed, &origin)?;
    store.add(*target, &blocked.holds)?;
    Ok(Done::Held {
        is_renewed: blocked.is_renewed,
    })
}
