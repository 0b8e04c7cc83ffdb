//! The machine: its description, and the two cores that are used.

use std::fmt;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use jiff::Zoned;
use rustix::process::setpriority_process;
use rustix::system::uname;
use rustix::thread::{CpuSet, Pid, sched_getaffinity, sched_setaffinity};

/// Two cores of this machine.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    /// The core that generates packets.
    pub generator: usize,
    /// The core that handles the packets.
    pub receiver: usize,
}

impl Cores {
    /// Chooses two cores that this process may use. They are threads of
    /// different physical cores if possible, since the threads of one core
    /// share its resources.
    ///
    /// # Errors
    ///
    /// This process may use only one core.
    pub fn find() -> Result<Self> {
        let allowed = sched_getaffinity(None).context("cannot ask for usable cores")?;
        let mut usable = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
        let generator = usable.next().context("no core is usable")?;
        let others: Vec<usize> = usable.collect();
        let apart = |cpu: &&usize| siblings(**cpu) != siblings(generator);
        let receiver = others.iter().find(apart).or(others.first());
        ensure!(
            receiver.is_some(),
            "the bench needs two cores: one makes packets, one drops them"
        );
        Ok(Self {
            generator,
            receiver: *receiver.unwrap_or(&generator),
        })
    }
}

fn siblings(cpu: usize) -> String {
    let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
    fs::read_to_string(path).unwrap_or_else(|_| cpu.to_string())
}

/// Restricts this thread, or the given one, to one core and gives it the
/// highest priority there.
///
/// # Errors
///
/// The kernel refuses.
pub fn pin(thread: Option<Pid>, cpu: usize) -> Result<()> {
    bind(thread, cpu)?;
    setpriority_process(thread, HIGHEST_PRIORITY)
        .with_context(|| format!("cannot raise the priority of a thread on core {cpu}"))
}

/// Restricts this thread, or the given one, to one core.
///
/// # Errors
///
/// The kernel refuses.
pub fn bind(thread: Option<Pid>, cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(thread, &set).with_context(|| format!("cannot keep a thread on core {cpu}"))
}

/// As `nice -n -20`.
const HIGHEST_PRIORITY: i32 = -20;

/// The properties of the machine that the figures depend on.
pub struct Machine {
    cpu: String,
    cores: usize,
    kernel: String,
    when: String,
}

impl Machine {
    /// Reads the properties of this machine.
    ///
    /// # Errors
    ///
    /// `/proc/cpuinfo` cannot be read.
    pub fn look() -> Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").context("cannot read /proc/cpuinfo")?;
        let fields: Vec<_> = cpuinfo
            .lines()
            .filter_map(|line| line.split_once(':'))
            .collect();
        let name = fields.iter().find(|(key, _)| key.trim() == "model name");
        let kernel = uname();
        Ok(Self {
            cpu: name.map_or("unknown", |(_, value)| value.trim()).into(),
            cores: fields
                .iter()
                .filter(|(key, _)| key.trim() == "processor")
                .count(),
            kernel: format!(
                "{} {}",
                kernel.sysname().to_string_lossy(),
                kernel.release().to_string_lossy()
            ),
            when: Zoned::now().strftime("%Y-%m-%d %H:%M %Z").to_string(),
        })
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cpu,
            cores,
            kernel,
            when,
        } = self;
        write!(f, "{cpu}, {cores} cores, {kernel}; {when}")
    }
}

/// Reads the memory that is available without swapping, in bytes.
///
/// # Errors
///
/// `/proc/meminfo` cannot be read.
pub fn available_memory() -> Result<u64> {
    let meminfo = fs::read_to_string("/proc/meminfo").context("cannot read /proc/meminfo")?;
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|text| text.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.context("/proc/meminfo has no MemAvailable")? * 1024)
}
