//! Executes the commands of named owners, such as a jail of fail2ban, in the disk
//! thread, because the database says which bit of an entry stands for each of them.

use std::collections::HashSet;
use std::net::IpAddr;
use std::path::PathBuf;

use anyhow::Result;
use spamdrop_core::owners::EntryOwner;
use spamdrop_core::recent::FifoCommand;
use spamdrop_core::target::Target;
use tokio::sync::oneshot::Receiver;

use super::complaints::CommandRefusal;
use super::orders::{reason, term};
use super::{FifoTask, LOCK_WAIT};
use crate::clock;
use crate::daemon::block::BlockRule;
use crate::kernel::blocklist::{Blocked, Blocklist};
use crate::lock::WriteLock;
use crate::owned_blocks::{self, FEW, OwnerStore, ReadEntries, Released};
use crate::store::DAEMON_WAIT;

/// Maximum number of commands in one job. A job takes the write lock once, and stores
/// the holds of successive blocks together.
const BATCH: usize = 256;

/// The files and pins that a job needs.
#[derive(Clone)]
pub(in crate::daemon) struct OwnedPlaces {
    pub store: PathBuf,
    pub pin_dir: PathBuf,
    pub run_dir: PathBuf,
}

/// Commands that the disk thread executes.
pub(super) struct OwnedJob {
    /// Number of commands.
    number: usize,
    pub results: Receiver<OwnedResults>,
}

/// The results of a job.
#[derive(Default)]
pub(super) struct OwnedResults {
    done: Vec<(OwnerCommand, Result<OwnerOutcome>)>,
    /// Commands that were not executed, because the write lock was not free.
    rest: Vec<OwnerCommand>,
    /// Number of failed commands that are not in `done`: of a run that fails as a
    /// whole, `done` has only the first command.
    failed: usize,
}

/// A command, and the entry that it concerns.
#[derive(Clone)]
struct OwnerCommand {
    addr: IpAddr,
    target: Target,
    /// How long the owner holds the entry; `None`: the owner lets it go.
    seconds: Option<u32>,
    owner: EntryOwner,
}

impl OwnerCommand {
    /// Whether a command is in the same run as the next one: blocks of any owners, or
    /// releases of one owner.
    fn goes_with(&self, next: &Self) -> bool {
        match (self.seconds, next.seconds) {
            (Some(_), Some(_)) => true,
            (None, None) => self.owner == next.owner,
            _ => false,
        }
    }
}

impl OwnedResults {
    fn take(&mut self, run: &[OwnerCommand], outcomes: Result<Vec<Result<OwnerOutcome>>>) {
        let commands = run.iter().cloned();
        match outcomes {
            Ok(outcomes) => self.done.extend(commands.zip(outcomes)),
            Err(error) => {
                // Only the first command of the run is logged as failed.
                self.failed += run.len().saturating_sub(1);
                let first = commands.take(1);
                self.done.extend(first.zip([Err(error)]));
            }
        }
    }
}

enum OwnerOutcome {
    Blocked { blocked: Blocked, is_stored: bool },
    Released(Released),
}

impl FifoTask {
    /// Starts a job with the commands of named owners at the head of the queue.
    pub(super) fn begin_owned(&mut self) {
        let mut commands = Vec::new();
        while let Some(FifoCommand::Owned(..)) = self.waiting.front()
            && commands.len() < BATCH
        {
            commands.extend(self.waiting.pop_front().and_then(|it| self.owned(it)));
        }
        if commands.is_empty() {
            self.refused = None;
            return;
        }
        // Store the holds of earlier commands first: the job reads them from the database.
        self.holds.submit();
        let (places, rule, number) = (
            self.places.clone(),
            self.settings.rule.clone(),
            commands.len(),
        );
        let results = self
            .disk
            .submit(move || carry_out(&places, &rule, commands));
        self.owned = Some(OwnedJob { number, results });
    }

    /// The command with its entry; `None` if its address must not be blocked.
    fn owned(&mut self, command: FifoCommand) -> Option<OwnerCommand> {
        let FifoCommand::Owned(addr, seconds, owner) = command else {
            return None;
        };
        if let Some(why) = self.scope.protected.why(addr).filter(|_| seconds.is_some()) {
            self.counts.protected += 1;
            let text = format!("{addr} not blocked: {why}");
            self.complaints.log(CommandRefusal::Protected, &text);
            return None;
        }
        Some(OwnerCommand {
            addr,
            target: self.scope.target(addr),
            seconds,
            owner,
        })
    }

    /// Takes the results of a job; `None`: its thread died.
    pub(super) fn take_owned(&mut self, results: Option<OwnedResults>) {
        let Some(results) = results else {
            return self.lose_owned("the disk thread died");
        };
        self.owned = None;
        let OwnedResults { done, rest, failed } = results;
        self.counts.failed += failed as u64;
        self.refused = match rest.is_empty() {
            true => None,
            false => {
                // The job has already waited `LOCK_WAIT` for the lock.
                self.name_holder();
                Some(self.refused.unwrap_or_else(clock::instant))
            }
        };
        for command in rest.into_iter().rev() {
            let OwnerCommand {
                addr,
                seconds,
                owner,
                ..
            } = command;
            self.waiting
                .push_front(FifoCommand::Owned(addr, seconds, owner));
        }
        for (command, outcome) in done {
            self.note(&command, outcome);
        }
        self.publish_status();
    }

    /// Gives up the commands of the job that is under way.
    pub(super) fn lose_owned(&mut self, why: &str) {
        self.refused = None;
        let Some(OwnedJob { number, .. }) = self.owned.take() else {
            return;
        };
        self.counts.failed += number as u64;
        let text = format!("{number} commands of owners may be lost: {why}");
        self.complaints.log(CommandRefusal::Failed, &text);
    }

    fn note(&mut self, command: &OwnerCommand, outcome: Result<OwnerOutcome>) {
        let OwnerCommand {
            addr,
            target,
            owner,
            ..
        } = command;
        match outcome {
            Ok(OwnerOutcome::Blocked { blocked, is_stored }) => {
                let term = term(command.seconds.unwrap_or_default());
                self.blocked(*addr, *target, blocked.is_renewed, term);
                if !is_stored {
                    self.holds.add(*target, &blocked);
                }
                log::debug!(target: "spamdrop::fifo", "blocked {addr}: {owner}");
            }
            Ok(OwnerOutcome::Released(released)) => {
                if released.is_empty() {
                    log::debug!(target: "spamdrop::fifo", "{owner} does not hold {addr}");
                    return;
                }
                self.counts.removed += u64::from(!released.removed.is_empty());
                self.record(Some(*addr), &format!("remove {addr} --owner {owner}"));
                log::debug!(target: "spamdrop::fifo", "{owner} no longer holds {addr}");
            }
            Err(error) => {
                self.counts.failed += 1;
                self.complaints
                    .log(CommandRefusal::Failed, &format!("{error:#}"));
            }
        }
    }
}

fn carry_out(places: &OwnedPlaces, rule: &BlockRule, commands: Vec<OwnerCommand>) -> OwnedResults {
    let mut results = OwnedResults::default();
    let mut store = OwnerStore::new(&places.store, DAEMON_WAIT);
    let begin = || -> Result<Option<(WriteLock, Blocklist)>> {
        let blocklist = Blocklist::open(&places.pin_dir)?;
        let lock = WriteLock::try_acquire(&places.run_dir, LOCK_WAIT)?;
        Ok(lock.map(|lock| (lock, blocklist)))
    };
    match begin() {
        Ok(Some((lock, mut blocklist))) => {
            for run in commands.chunk_by(OwnerCommand::goes_with) {
                let outcomes = match run {
                    [OwnerCommand { seconds: None, .. }, ..] => {
                        release_all(&lock, &mut blocklist, &mut store, run)
                    }
                    _ => Ok(hold_all(&lock, &mut blocklist, &mut store, rule, run)),
                };
                results.take(run, outcomes);
            }
        }
        Ok(None) => results.rest = commands,
        Err(error) => results.take(&commands, Err(error)),
    }
    results
}

/// Blocks addresses for named owners. All holds are stored in one transaction, so that
/// the write lock is held for a short time.
fn hold_all(
    lock: &WriteLock,
    blocklist: &mut Blocklist,
    store: &mut OwnerStore,
    rule: &BlockRule,
    run: &[OwnerCommand],
) -> Vec<Result<OwnerOutcome>> {
    let mut hold = |command: &OwnerCommand| {
        let bit = store.registered(&command.owner, blocklist)?;
        let term = term(command.seconds.unwrap_or_default());
        let origin = reason(blocklist.origin(command.addr)?, term.start, rule);
        let key = (command.addr, command.target);
        blocklist.block(lock, key, bit, term, rule.sealed, &origin)
    };
    let all: Vec<Result<Blocked>> = run.iter().map(&mut hold).collect();
    let targets = run.iter().map(|command| command.target);
    let blocked = targets.zip(&all);
    let blocked = blocked.filter_map(|(target, it)| Some((target, it.as_ref().ok()?)));
    let stored = store.add(blocked);
    if let Err(error) = &stored {
        log::debug!(target: "spamdrop::fifo", "the holds of owners are not stored yet: {error:#}");
    }
    let is_stored = stored.is_ok();
    let held = |blocked| OwnerOutcome::Blocked { blocked, is_stored };
    all.into_iter().map(|it| it.map(held)).collect()
}

/// Releases the entries of `run`, whose commands have the same owner, from this owner. Of
/// several commands for one entry, only the first has an effect.
fn release_all(
    lock: &WriteLock,
    blocklist: &mut Blocklist,
    store: &mut OwnerStore,
    run: &[OwnerCommand],
) -> Result<Vec<Result<OwnerOutcome>>> {
    let bit = match run {
        [first, ..] => store.bit(&first.owner)?,
        [] => None,
    };
    let mut released = Released::default();
    let covering = run.iter().flat_map(|it| Target::covering(it.addr));
    let mut targets: Vec<Target> = covering.collect();
    targets.sort_unstable();
    targets.dedup();
    if let Some(bit) = bit {
        let read = &mut ReadEntries::default();
        let (owner, released) = (bit.into(), &mut released);
        owned_blocks::release(lock, blocklist, store, owner, &targets, read, released)?;
    }
    let mut removed: HashSet<Target> = released.removed.into_iter().collect();
    let mut kept: HashSet<Target> = released.kept.into_iter().collect();
    if targets.len() > FEW && !removed.is_empty() {
        blocklist.forget_origins(lock, &removed)?;
    }
    let of = |command: &OwnerCommand, all: &mut HashSet<Target>| {
        Target::covering(command.addr)
            .filter(|target| all.remove(target))
            .collect()
    };
    let mut released = |command| {
        Ok(OwnerOutcome::Released(Released {
            removed: of(command, &mut removed),
            kept: of(command, &mut kept),
        }))
    };
    Ok(run.iter().map(&mut released).collect())
}
