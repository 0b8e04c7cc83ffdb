//! Cuts the power of mail servers at random moments, and boots them again: see
//! cuts.sh.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::command::{find, run};
use crate::tally::Tally;

use super::{boot_command, guest};

/// Number of power cuts of each machine.
const CUTS: usize = 10;
const MACHINES: [&str; 2] = ["cuts-1", "cuts-2"];

/// The guest's work when its power is cut, and the longest time from its line `ready`
/// to the cut, in seconds. The daemon saves every 50 s.
const PHASES: [(&str, f64); 3] = [("blocks", 90.0), ("saves", 20.0), ("upgrades", 40.0)];
/// The phase in which the guest ends by itself.
const END: &str = "end";

/// The variable with the seed of an earlier run, which cuts at the same moments again.
const SEED: &str = "SPAMDROP_CUTS_SEED";

/// Blocks that are older than this when the power is cut must survive.
const MAY_BE_LOST: Duration = Duration::from_secs(60);

/// Time limit of a guest. A guest usually needs a fifth of it.
const TIMEOUT: Duration = Duration::from_secs(600);

/// Cuts the power of several machines, which run at the same time.
///
/// # Errors
///
/// A disk cannot be made. The tally counts the checks in the guests.
pub fn test(system: &Path, kernel: &Path, job: &Path) -> Result<Tally> {
    let seed = match env::var(SEED) {
        Ok(seed) => seed.parse().context(SEED)?,
        Err(_) => fastrand::u64(..),
    };
    println!("power cuts: {SEED}={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut tally = Tally::default();
    let machines = MACHINES.map(|name| Machine {
        name,
        system,
        kernel,
        job,
        random: random.fork(),
    });
    let tallies: Vec<Result<Tally>> = thread::scope(|scope| {
        let lives = machines.map(|machine| scope.spawn(|| machine.live()));
        lives
            .into_iter()
            .map(|life| life.join().unwrap_or(Ok(Tally::FAILED)))
            .collect()
    });
    for one in tallies {
        tally.add(one?);
    }
    Ok(tally)
}

struct Machine<'a> {
    name: &'static str,
    system: &'a Path,
    kernel: &'a Path,
    job: &'a Path,
    random: fastrand::Rng,
}

impl Machine<'_> {
    fn path(&self, kind: &str) -> PathBuf {
        self.job.with_file_name(format!("{}.{kind}", self.name))
    }

    fn live(mut self) -> Result<Tally> {
        self.make_disk()?;
        let mut kept = Kept::default();
        let mut tally = Tally::default();
        let phases = PHASES.iter().cycle().take(CUTS);
        for (phase, longest) in phases {
            let delay = Duration::from_secs_f64(self.random.f64() * longest);
            tally.add(self.boot(phase, Some(delay), &mut kept)?);
        }
        tally.add(self.boot(END, None, &mut kept)?);
        // After a failure, the disk is kept, because it shows the reason.
        if tally.failed == 0 {
            fs::remove_file(self.path("disk"))?;
        }
        Ok(tally)
    }

    /// Copies the root file system, and gives it a journal, as that of a server has.
    fn make_disk(&self) -> Result<()> {
        let disk = self.path("disk");
        let mut copy = Command::new("cp");
        copy.args(["--sparse=always", "--"]);
        run(copy.arg(self.system.join("image")).arg(&disk))?;
        let tune2fs = find("tune2fs").context("there is no tune2fs; install e2fsprogs")?;
        let mut tune = Command::new(tune2fs);
        run(tune.args(["-j"]).arg(&disk).stdout(Stdio::null()))
    }

    /// Boots the machine, and cuts its power after `delay` from its line `ready`;
    /// `None`: waits until the machine ends.
    fn boot(&self, phase: &str, delay: Option<Duration>, kept: &mut Kept) -> Result<Tally> {
        let expected = self.path("expected");
        fs::write(&expected, kept.expected(phase))?;
        let disk = format!("file={}", self.path("disk").display());
        let console = self.path("console");
        let mut qemu = boot_command(TIMEOUT, self.kernel, &disk, self.job, &console);
        qemu.arg("-drive").arg(format!(
            "file={},format=raw,if=virtio,readonly=on",
            expected.display()
        ));
        let mut child = qemu.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let tally = self.watch(&mut child, (phase, delay), kept);
        child.wait()?;
        Ok(guest::counted(self.name, tally?, &console))
    }

    fn watch(
        &self,
        child: &mut Child,
        (phase, delay): (&str, Option<Duration>),
        kept: &mut Kept,
    ) -> Result<Tally> {
        let lines = lines(child.stdout.take().context("standard output is piped")?);
        let mut tally = Tally::default();
        let mut cut = None;
        loop {
            let line = match cut {
                None => lines.recv().map_err(RecvTimeoutError::from),
                Some(cut) => lines.recv_timeout(cut - Instant::now()),
            };
            match line {
                Ok(line) => {
                    tally.read(&line);
                    if !kept.take(&line) {
                        println!("{}: {line}", self.name);
                    }
                    if line == "ready" {
                        cut = delay.map(|delay| Instant::now() + delay);
                        println!("{}: {phase}, cut after {delay:.1?}", self.name);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    child.kill()?;
                    cut = None;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        kept.forget_recent();
        println!("{}: {} entries must survive", self.name, kept.must.len());
        Ok(tally)
    }
}

/// Reads lines in a thread of its own, until there are no more.
fn lines(from: ChildStdout) -> Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(from).split(b'\n').map_while(io::Result::ok) {
            // A terminal ends lines with a carriage return too.
            let _ = sender.send(String::from_utf8_lossy(&line).trim_end().to_owned());
        }
    });
    receiver
}

/// The data that a machine must still have after a power cut, in lines of cuts.sh.
#[derive(Default)]
struct Kept {
    must: BTreeSet<String>,
    /// Blocks that have not been saved for certain, and when they were added.
    recent: Vec<(Instant, String)>,
}

impl Kept {
    /// The content of the disk that tells the guest its phase and the data that it
    /// must still have.
    fn expected(&self, phase: &str) -> String {
        let mut text = format!("phase {phase}\n");
        for line in &self.must {
            text.push_str(line);
            text.push('\n');
        }
        // A disk has whole sectors.
        let size = text.len().next_multiple_of(512);
        text.extend(iter::repeat_n('\0', size - text.len()));
        text
    }

    /// Records a line of cuts.sh that names a block, a known sender or an allowed
    /// address, or says that all blocks are saved. Returns `false` for any other line.
    fn take(&mut self, line: &str) -> bool {
        match line.split_once(' ') {
            Some(("block", _)) => self.recent.push((Instant::now(), line.into())),
            Some(("known" | "allow", _)) => {
                self.must.insert(line.into());
            }
            None if line == "saved" => {
                let saved = self.recent.drain(..);
                self.must.extend(saved.map(|(_, block)| block));
            }
            _ => return false,
        }
        true
    }

    /// Drops the blocks that the power cut of this moment may lose. Older ones must
    /// survive.
    fn forget_recent(&mut self) {
        let old = |added: &Instant| added.elapsed() >= MAY_BE_LOST;
        let recent = self.recent.drain(..).filter(|(added, _)| old(added));
        self.must.extend(recent.map(|(_, block)| block));
    }
}
