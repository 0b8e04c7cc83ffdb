//! Commands that change maps take turns; one watcher runs at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// The right to change maps and pins, until dropped.
#[derive(Debug)]
pub struct WriteLock(#[expect(dead_code, reason = "closing the file gives the lock back")] File);

impl WriteLock {
    /// Waits for the right to change maps and pins.
    ///
    /// # Errors
    ///
    /// The run directory or the lock file cannot be made or opened.
    pub fn acquire(run_dir: &Path) -> Result<Self> {
        let path = lock_path(run_dir);
        make_dir(run_dir)?;
        loop {
            let file = open(&path)?;
            file.lock()
                .with_context(|| format!("cannot lock {}", path.display()))?;
            // `detach` removes the file while others may wait for it.
            if is_still(&file, &path) {
                return Ok(Self(file));
            }
            make_dir(run_dir)?;
        }
    }
}

/// The mark of a running watcher, until dropped.
#[derive(Debug)]
pub struct Watcher {
    file: File,
    path: PathBuf,
}

impl Watcher {
    /// Marks this process as the watcher.
    ///
    /// # Errors
    ///
    /// There is one already; the message names its process.
    pub fn begin(run_dir: &Path) -> Result<Self> {
        make_dir(run_dir)?;
        let path = watcher_path(run_dir);
        let mut file = open(&path)?;
        if file.try_lock().is_err() {
            let pid = read_pid(&mut file).map_or_else(String::new, |pid| format!(" (pid {pid})"));
            anyhow::bail!("`spamdrop run` is active already{pid}; stop it first");
        }
        file.set_len(0)?;
        writeln!(file, "{}", std::process::id())?;
        Ok(Self { file, path })
    }

    /// Whether others still see the mark: `detach --force` removes it, and
    /// another watcher may have begun since.
    #[must_use]
    pub fn is_seen(&self) -> bool {
        is_still(&self.file, &self.path)
    }
}

/// The process that watches, if one does.
#[must_use]
pub fn watcher_pid(run_dir: &Path) -> Option<u32> {
    let mut file = File::open(watcher_path(run_dir)).ok()?;
    match file.try_lock_shared() {
        Ok(()) => None,
        Err(_) => read_pid(&mut file),
    }
}

/// The files of this module in the run directory.
#[must_use]
pub fn files(run_dir: &Path) -> [PathBuf; 2] {
    [watcher_path(run_dir), lock_path(run_dir)]
}

fn lock_path(run_dir: &Path) -> PathBuf {
    run_dir.join("lock")
}

fn watcher_path(run_dir: &Path) -> PathBuf {
    run_dir.join("watcher.pid")
}

fn read_pid(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn open(path: &Path) -> Result<File> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))
}

fn make_dir(dir: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make the directory {}", dir.display()))
}

fn is_still(file: &File, path: &Path) -> bool {
    let same = || -> io::Result<bool> {
        let (open, named) = (file.metadata()?, fs::metadata(path)?);
        Ok((open.dev(), open.ino()) == (named.dev(), named.ino()))
    };
    same().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn turns_exclude_each_other_even_after_a_removal() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = dir.path().join("run");
        let first = WriteLock::acquire(&run_dir).unwrap();
        let (sent, received) = channel();
        let waiting = std::thread::spawn({
            let run_dir = run_dir.clone();
            move || {
                let lock = WriteLock::acquire(&run_dir).unwrap();
                sent.send(()).unwrap();
                lock
            }
        });
        assert!(received.try_recv().is_err());
        fs::remove_dir_all(&run_dir).unwrap();
        drop(first);
        received.recv().unwrap();
        let lock = waiting.join().unwrap();
        let other = open(&run_dir.join("lock")).unwrap();
        assert!(other.try_lock().is_err());
        drop(lock);
        assert!(other.try_lock().is_ok());
    }

    #[test]
    fn a_second_watcher_is_told_who_runs() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(watcher_pid(dir.path()), None);
        let watcher = Watcher::begin(dir.path()).unwrap();
        assert_eq!(watcher_pid(dir.path()), Some(std::process::id()));
        let error = Watcher::begin(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains(&format!("pid {}", std::process::id())),
            "{error}"
        );
        drop(watcher);
        assert_eq!(watcher_pid(dir.path()), None);
    }
}
