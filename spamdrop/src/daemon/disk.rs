//! One thread for all work that may wait for a disk, so that no task has to
//! wait.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

type Job = Box<dyn FnOnce() + Send>;

/// The sender of jobs, which the thread runs one after another.
#[derive(Clone)]
pub(super) struct Disk(Sender<Job>);

/// The thread. [`DiskThread::ensure_started`] starts a new one when it has ended.
pub(super) struct DiskThread {
    jobs: Arc<Mutex<Receiver<Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Disk {
    /// Submits a job, whose result can be awaited. Jobs queue up while there is
    /// no thread, so a task submits no second job of a kind before the first is
    /// done.
    pub fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (done, result) = oneshot::channel();
        let job = move || {
            // If the task has ended, nothing needs the result.
            let _ = done.send(job());
        };
        // The send cannot fail: the receiver lives as long as the supervisor,
        // which ends last.
        let _ = self.0.send(Box::new(job));
        result
    }
}

impl DiskThread {
    /// Creates the queue; the thread is not started yet.
    pub fn new() -> (Disk, Self) {
        let (disk, jobs) = channel();
        let thread = Self {
            jobs: Arc::new(Mutex::new(jobs)),
            thread: None,
        };
        (Disk(disk), thread)
    }

    /// Starts the thread unless it runs.
    ///
    /// # Errors
    ///
    /// The system cannot start a thread (`pids.max`, memory). The call can be
    /// repeated.
    pub fn ensure_started(&mut self) -> io::Result<()> {
        if self.thread.as_ref().is_some_and(|it| !it.is_finished()) {
            return Ok(());
        }
        let jobs = Arc::clone(&self.jobs);
        let run = move || {
            let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner);
            while let Ok(job) = jobs.recv() {
                job();
            }
        };
        self.thread = Some(Builder::new().name("disk".into()).spawn(run)?);
        Ok(())
    }
}

/// Takes the result of a job. `None`: there is no job, or it is not finished.
/// `Some(None)`: the thread died during the job.
pub(super) fn take_finished<T>(job: &mut Option<oneshot::Receiver<T>>) -> Option<Option<T>> {
    let result = match job.as_mut()?.try_recv() {
        Ok(result) => Some(result),
        Err(TryRecvError::Closed) => None,
        Err(TryRecvError::Empty) => return None,
    };
    *job = None;
    Some(result)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn jobs_wait_for_the_thread_and_are_done_in_order() {
        let (disk, mut thread) = DiskThread::new();
        let first = disk.submit(|| 1);
        let mut second = disk.submit(|| 2);
        assert!(second.try_recv().is_err());
        thread.ensure_started().unwrap();
        thread.ensure_started().unwrap();
        assert_eq!(second.blocking_recv(), Ok(2));
        assert_eq!(first.blocking_recv(), Ok(1));
    }

    #[test]
    fn a_thread_that_died_is_started_again() {
        let (disk, mut thread) = DiskThread::new();
        thread.ensure_started().unwrap();
        let lost = disk.submit(|| panic!("on purpose"));
        assert!(lost.blocking_recv().is_err());
        let done = disk.submit(|| 3);
        // The result channel closes before the thread has ended, so wait for
        // the thread.
        while !thread.thread.as_ref().unwrap().is_finished() {
            std::thread::yield_now();
        }
        thread.ensure_started().unwrap();
        assert_eq!(done.blocking_recv(), Ok(3));
    }
}
