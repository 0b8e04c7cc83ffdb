//! Locks in the run directory: only one process at a time changes maps and
//! pins, and only one daemon runs.

mod holder;

use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::fs::OFlags;

use crate::account;
use crate::clock;
use crate::directory::{self, Owned};

/// How long a command waits for the write lock before it names the holder.
const NAMED_AFTER: Duration = Duration::from_secs(1);
/// The time between two attempts of [`WriteLock::try_acquire`].
const RETRY: Duration = Duration::from_millis(2);

/// The verb of this process, which is shown to processes that wait for its
/// lock.
static VERB: OnceLock<String> = OnceLock::new();

/// Sets the verb that this process writes into the file of the write lock, to be named as
/// its holder; only the first call counts.
pub fn set_verb(verb: String) {
    // A second call changes nothing.
    let _ = VERB.set(verb);
}

/// Holds the write lock, the right to change maps and pins, until dropped.
#[derive(Debug)]
pub struct WriteLock {
    #[expect(dead_code, reason = "closing the file gives the lock back")]
    file: File,
    was_ours: bool,
}

/// The process that holds the write lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// The verb that it runs, such as `import` or `known add`.
    pub verb: String,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`spamdrop {}` (pid {})", self.verb, self.pid)
    }
}

impl WriteLock {
    /// Waits for the write lock until it is free. After a second the holder is
    /// named on standard error. For commands; the daemon uses
    /// [`try_acquire`](Self::try_acquire).
    ///
    /// # Errors
    ///
    /// The run directory or the lock file cannot be created or opened.
    pub fn acquire(run_dir: &Path) -> Result<Self> {
        if let Some(lock) = Self::attempt(run_dir)? {
            return Ok(lock);
        }
        let _notice = announce_wait(run_dir);
        let path = lock_path(run_dir);
        loop {
            let file = open(run_dir, &path)?;
            file.lock()
                .with_context(|| format!("cannot lock {}", path.display()))?;
            // `detach` removes the file while other processes may wait for it,
            // so a lock on a removed file is not valid.
            if is_still(&file, &path) {
                return Ok(Self::signed(file));
            }
        }
    }

    /// Waits for the write lock, but not longer than `within`; `None`: another
    /// process still holds it, and [`holder`] names that process.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    pub fn try_acquire(run_dir: &Path, within: Duration) -> Result<Option<Self>> {
        let start = clock::instant();
        loop {
            if let Some(lock) = Self::attempt(run_dir)? {
                return Ok(Some(lock));
            }
            let left = within.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            thread::sleep(left.min(RETRY));
        }
    }

    fn attempt(run_dir: &Path) -> Result<Option<Self>> {
        let path = lock_path(run_dir);
        loop {
            let file = open(run_dir, &path)?;
            if !try_lock(&file, &path)? {
                return Ok(None);
            }
            if is_still(&file, &path) {
                return Ok(Some(Self::signed(file)));
            }
        }
    }

    /// Whether this process was also the previous holder, so that no other process
    /// has changed anything in between.
    pub fn was_ours(&self) -> bool {
        self.was_ours
    }

    /// Writes this process's pid and verb into the file. The lock is valid even
    /// if that fails.
    fn signed(file: File) -> Self {
        let verb = VERB.get().map_or("", String::as_str);
        let text = format!("{} {verb}\n", std::process::id());
        let mut last = vec![0; text.len() + 1];
        let was_ours = file
            .read_at(&mut last, 0)
            .is_ok_and(|length| last.get(..length) == Some(text.as_bytes()));
        if !was_ours && let Err(error) = overwrite(&file, &text) {
            log::debug!("cannot write the holder into the lock file: {error}");
        }
        Self { file, was_ours }
    }
}

/// As [`WriteLock::try_acquire`], but fails if another process still holds the lock.
/// The error names that process.
///
/// # Errors
///
/// Another process holds the lock for longer than `within`, or as
/// [`WriteLock::acquire`].
pub fn acquire_within(run_dir: &Path, within: Duration) -> Result<WriteLock> {
    WriteLock::try_acquire(run_dir, within)?.with_context(|| match holder(run_dir) {
        Some(holder) => format!("{holder} holds the write lock; try again when it has ended"),
        None => "another process holds the write lock; try again when it has ended".into(),
    })
}

/// The process that holds the write lock now. `None`: it is free, or the
/// holder has not written its name yet.
#[must_use]
pub fn holder(run_dir: &Path) -> Option<Holder> {
    let text = holder::signature(&lock_path(run_dir))?;
    let (pid, verb) = text.trim_end_matches('\n').split_once(' ')?;
    Some(Holder {
        pid: pid.parse().ok()?,
        verb: verb.into(),
    })
}

/// Logs after a second that this process waits, and for which holder. Dropping the
/// sender cancels the message.
fn announce_wait(run_dir: &Path) -> Sender<()> {
    let (sender, done) = channel();
    let run_dir = run_dir.to_owned();
    let wait = move || {
        if done.recv_timeout(NAMED_AFTER) == Err(RecvTimeoutError::Timeout) {
            let holder = holder(&run_dir)
                .map_or_else(|| "another process".into(), |holder| holder.to_string());
            log::warn!(
                "waiting for {holder}, which holds {}",
                lock_path(&run_dir).display()
            );
        }
    };
    // If the thread cannot be started, the wait is not announced.
    if let Err(error) = thread::Builder::new().spawn(wait) {
        log::debug!("no thread to announce a wait: {error}");
    }
    sender
}

/// Holds the right to reload until dropped. Only one process at a time may have it,
/// because the daemon reports the result of the last reload only.
#[derive(Debug)]
pub struct ReloadLock(#[expect(dead_code, reason = "closing the file gives the lock back")] File);

impl ReloadLock {
    /// Waits until no other process reloads.
    ///
    /// # Errors
    ///
    /// As [`WriteLock::acquire`].
    pub fn acquire(run_dir: &Path) -> Result<Self> {
        let path = reload_path(run_dir);
        let file = open(run_dir, &path)?;
        file.lock()
            .with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(Self(file))
    }
}

/// Marks this process as the running daemon until dropped.
#[derive(Debug)]
pub struct DaemonMark {
    file: File,
    path: PathBuf,
}

impl DaemonMark {
    /// Marks this process as the daemon.
    ///
    /// # Errors
    ///
    /// Another daemon runs. The message names its process.
    pub fn begin(run_dir: &Path) -> Result<Self> {
        if let Some(pid) = pid_in(&older_daemon_path(run_dir)) {
            anyhow::bail!(
                "`spamdrop run` of an older version is active (pid {pid}); stop it first"
            );
        }
        let path = daemon_path(run_dir);
        let mut file = open(run_dir, &path)?;
        // Only daemons take this lock; `daemon_pid` only inspects it.
        if !try_lock(&file, &path)? {
            let pid = read_pid(&mut file).map_or_else(String::new, |pid| format!(" (pid {pid})"));
            anyhow::bail!("`spamdrop run` is active already{pid}; stop it first");
        }
        overwrite(&file, &format!("{}\n", std::process::id()))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { file, path })
    }

    /// Whether the mark's file still exists: `detach --force` removes it, and
    /// another daemon may have started since.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        is_still(&self.file, &self.path)
    }
}

/// The pid of the running daemon, even of an older version. The function takes
/// no lock, so it never prevents a daemon from starting.
#[must_use]
pub fn daemon_pid(run_dir: &Path) -> Option<u32> {
    pid_in(&daemon_path(run_dir)).or_else(|| pid_in(&older_daemon_path(run_dir)))
}

fn pid_in(path: &Path) -> Option<u32> {
    holder::signature(path)?.trim().parse().ok()
}

/// The files of this module in the run directory.
#[must_use]
pub fn files(run_dir: &Path) -> [PathBuf; 4] {
    [
        daemon_path(run_dir),
        older_daemon_path(run_dir),
        reload_path(run_dir),
        lock_path(run_dir),
    ]
}

fn lock_path(run_dir: &Path) -> PathBuf {
    run_dir.join("lock")
}

fn reload_path(run_dir: &Path) -> PathBuf {
    run_dir.join("reload.lock")
}

fn daemon_path(run_dir: &Path) -> PathBuf {
    run_dir.join("daemon.pid")
}

/// The mark of daemons whose maps have layout v1.
fn older_daemon_path(run_dir: &Path) -> PathBuf {
    run_dir.join("watcher.pid")
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn overwrite(file: &File, text: &str) -> io::Result<()> {
    file.set_len(0)?;
    file.write_all_at(text.as_bytes(), 0)
}

/// Returns whether the lock was free and is now held.
fn try_lock(file: &File, path: &Path) -> Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

fn open(run_dir: &Path, path: &Path) -> Result<File> {
    // A directory that the daemon would refuse must not keep root from
    // unblocking and detaching.
    match directory::prepare(run_dir, Owned::Run) {
        Ok(()) => {}
        Err(error) if !run_dir.exists() => return Err(error),
        Err(error) => log::warn!("{error:#}"),
    }
    let _acting = account::act_as_daemon()?;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

fn is_still(file: &File, path: &Path) -> bool {
    let same = || -> io::Result<bool> {
        let (open, named) = (file.metadata()?, fs::metadata(path)?);
        Ok((open.dev(), open.ino()) == (named.dev(), named.ino()))
    };
    same().unwrap_or(false)
}

#[cfg(test)]
mod tests;
