//! Runs all checks in groups. After a failed group, the others still run.

use std::panic::{catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use cargo_metadata::MetadataCommand;
use clap::{Args, ValueEnum};
use rustix::process::nice;

use crate::{
    command::{HOST_PACKAGES, as_root, cargo, each_line, run as run_command},
    debian, dist,
    fuzz::fuzz,
    lint::lint,
    say, setup,
    tally::Tally,
    vm,
};

mod programs;

use programs::{again, is_program, programs};

/// How long each fuzz target runs.
const FUZZ: Duration = Duration::from_secs(10);
/// How long each fuzz target runs with `--full`.
const FUZZ_FULL: Duration = Duration::from_secs(600);

/// The increment of the nice value that gives the lowest priority.
const LOWEST_PRIORITY: i32 = 19;

/// Options of `cargo xtask test`.
#[derive(Args)]
pub struct Options {
    /// Run this group only (may be repeated)
    #[arg(long, value_name = "GROUP")]
    only: Vec<Group>,
    /// Try 10,000 cases in most property tests, not 256; let the storm of log
    /// lines last 60 s, not 5; measure 3 waves of 40 s, not one of 20, and a
    /// whole wave of 1,500 bots, not 480; flood the gate with up to
    /// 400,000 SYNs a second, not 15,000; change interfaces in 200 sequences,
    /// not 10; fuzz each target for ten minutes, not ten seconds
    #[arg(long)]
    full: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Group {
    /// Check that rustfmt would change nothing
    Format,
    /// Clippy, compiler warnings, the house rules, the man pages, systemd's units
    Lint,
    /// Tests that need neither root nor a kernel
    Unit,
    /// Tests that load programs and create network namespaces, as root
    Kernel,
    /// Kernel tests with Debian's Courier, rbldnsd, rsyslog and promtool
    Courier,
    /// Kernel tests with Debian's Postfix, postscreen and Exim
    Servers,
    /// A botnet's wave against a small mail server, as root
    Wave,
    /// Interfaces of Debian's kernels 6.1 and 6.12, under QEMU and as root
    Vm,
    /// The Debian package: lintian, its dependencies, a second build, and its
    /// installation on mail servers with Debian 12 and 13, under QEMU and as
    /// root; with `--full`, on more of them, and power cuts
    Dist,
    /// The fuzz targets, for a short while
    Fuzz,
}

/// Runs the groups, then prints a line for each, what failed, and the sum of all.
/// The groups without short time limits run one after another with the lowest priority,
/// beside the groups that mostly wait; with `--full`, after all others.
///
/// # Errors
///
/// The tools that every group needs cannot be installed. An error in a group counts
/// as a failure of that group.
pub fn run(options: &Options) -> Result<ExitCode> {
    let groups = if options.only.is_empty() {
        Group::value_variants()
    } else {
        &options.only
    };
    let result = |group: Group| group.result(options.full);
    let (beside, alone): (Vec<Group>, Vec<_>) = groups
        .iter()
        .partition(|group| group.limits_no_short_time());
    // With `--full`, tests measure, so no other group runs beside them.
    let (first, waiting): (Vec<Group>, Vec<_>) = alone
        .into_iter()
        .partition(|group| options.full || group.uses_all_cpus());
    if !beside.is_empty() {
        setup::building()?;
    }
    let mut results: Vec<_> = first.into_iter().map(result).collect();
    thread::scope(|scope| {
        let running = scope.spawn(|| {
            // Processes inherit the priority of the thread that starts them.
            if let Err(error) = nice(LOWEST_PRIORITY) {
                say(&format!("cannot lower the priority: {error}"));
            }
            beside.iter().copied().map(result).collect::<Vec<_>>()
        });
        results.extend(waiting.into_iter().map(result));
        results.extend(running.join().unwrap_or_else(|panic| resume_unwind(panic)));
    });
    Ok(summarize(results))
}

fn summarize(results: Vec<(Group, Tally, Duration)>) -> ExitCode {
    let mut sum = Tally::default();
    for (group, tally, time) in results {
        let name = format!("{group:?}").to_lowercase();
        let Tally { passed, failed, .. } = tally;
        let seconds = time.as_secs_f64();
        println!("{name:<8} {seconds:7.1} s {passed:5} passed {failed:4} failed");
        sum.add(tally);
    }
    for failure in &sum.failures {
        println!("failed: {failure}");
    }
    let others = (sum.failed as usize).saturating_sub(sum.failures.len());
    if others > 0 {
        println!("failed: {others} without a name; see the output above");
    }
    println!("{} passed, {} failed", sum.passed, sum.failed);
    if sum.failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Group {
    /// Whether the group's tests also pass on a busy machine.
    fn limits_no_short_time(self) -> bool {
        matches!(self, Self::Vm | Self::Dist | Self::Fuzz)
    }

    /// Whether the group mostly compiles and computes.
    fn uses_all_cpus(self) -> bool {
        matches!(self, Self::Format | Self::Lint | Self::Unit)
    }

    /// Runs the group. Returns its tally and time.
    fn result(self, full: bool) -> (Self, Tally, Duration) {
        say(&format!("testing: {self:?}").to_lowercase());
        let start = Instant::now();
        let panicked = |_| Err(anyhow!("the group panicked"));
        let outcome = catch_unwind(|| self.run(full)).unwrap_or_else(panicked);
        let tally = outcome.unwrap_or_else(|error| {
            let mut tally = Tally::default();
            tally.check(Err(error));
            tally
        });
        (self, tally, start.elapsed())
    }

    fn run(self, full: bool) -> Result<Tally> {
        match self {
            Self::Format => format(),
            Self::Lint => lint(),
            Self::Unit => unit(full),
            Self::Kernel => {
                // The tests of the action for fail2ban start a real fail2ban.
                debian::unpack_if_missing()?;
                kernel(full, |target| {
                    ![COURIER, METRICS, SERVERS, WAVE, VM].contains(&target)
                })
            }
            Self::Courier => {
                debian::unpack_if_missing()?;
                kernel(full, |target| [COURIER, METRICS].contains(&target))
            }
            Self::Servers => {
                debian::unpack_if_missing()?;
                setup::building()?;
                lab_server()?;
                kernel(full, |target| target == SERVERS)
            }
            Self::Wave => {
                setup::building()?;
                lab_server()?;
                kernel(full, |target| target == WAVE)
            }
            Self::Vm => guests(full),
            Self::Dist => package(full),
            Self::Fuzz => fuzz(&[], if full { FUZZ_FULL } else { FUZZ }),
        }
    }
}

/// The test targets with Debian's mail servers and Prometheus.
const COURIER: &str = "courier";
const METRICS: &str = "metrics";
const SERVERS: &str = "servers";
/// The test target of waves, which take minutes.
const WAVE: &str = "wave";

/// A test target whose tests may run several at a time without `--full`, because they
/// mostly wait: for the daemon, or for packets that must not come.
struct Waiting {
    target: &'static str,
    threads: usize,
    /// The modules with time limits, whose tests run one after another.
    timed: &'static [&'static str],
}

const WAITING: [Waiting; 5] = [
    Waiting {
        target: "cli_kernel",
        threads: 3,
        timed: &["check::"],
    },
    Waiting {
        target: COURIER,
        threads: 3,
        timed: &["wave::"],
    },
    Waiting {
        target: "daemon",
        threads: 3,
        timed: &["gate::", "interfaces::", "restart::"],
    },
    Waiting {
        target: SERVERS,
        threads: 3,
        timed: &["wave::"],
    },
    // Its tests have time limits, and keep them with three at a time.
    Waiting {
        target: WAVE,
        threads: 3,
        timed: &[],
    },
];

/// The test target that runs in guests only.
const VM: &str = "vm";

fn format() -> Result<Tally> {
    setup::components(&[setup::RUSTFMT])?;
    let mut tally = Tally::default();
    tally.check(run_command(&mut cargo(["fmt", "--all", "--check"])));
    Ok(tally)
}

fn unit(full: bool) -> Result<Tally> {
    setup::building()?;
    let mut tally = Tally::default();
    for mut command in programs(|target| !target.is_root_only)? {
        if full {
            command.env("PROPTEST_CASES", "10000");
        }
        tally.add(libtest(&mut command));
    }
    let mut examples = cargo(["test", "--doc"]);
    examples.args(HOST_PACKAGES).args(["--features", FEATURE]);
    tally.add(libtest(&mut examples));
    Ok(tally)
}

/// Builds as the user and runs as root. Tests run one after another, because they share
/// the machine's kernel. Without `--full`, the tests of [`WAITING`] outside its
/// `timed` modules run a few at a time, each in namespaces of its own.
fn kernel(full: bool, is_wanted: impl Fn(&str) -> bool) -> Result<Tally> {
    setup::building()?;
    setup::tools()?;
    let mut tally = Tally::default();
    for mut command in programs(|target| target.is_root_only && is_wanted(target.name))? {
        if full {
            // The tests print what they measure.
            command.arg("--show-output").env("SPAMDROP_FULL", "1");
        }
        let mut waiting = WAITING.iter();
        let waiting = waiting.find(|waiting| is_program(&command, waiting.target));
        if let Some(waiting) = waiting.filter(|_| !full) {
            let mut several = again(&command);
            several.arg(format!("--test-threads={}", waiting.threads));
            several.args(waiting.timed.iter().flat_map(|module| ["--skip", module]));
            tally.add(libtest(&mut as_root(several)?));
            if waiting.timed.is_empty() {
                continue;
            }
            command.args(waiting.timed);
        }
        command.arg("--test-threads=1");
        tally.add(libtest(&mut as_root(command)?));
    }
    Ok(tally)
}

/// Builds as the user, and runs the test program in emulated machines.
fn guests(full: bool) -> Result<Tally> {
    setup::building()?;
    setup::emulation()?;
    let commands = programs(|target| target.name == VM)?;
    let [program] = &commands[..] else {
        bail!("{} test programs are called {VM}", commands.len());
    };
    vm::test(Path::new(program.get_program()), full)
}

/// Packs the program of the other tests, because an optimised one takes minutes to build.
fn package(full: bool) -> Result<Tally> {
    setup::building()?;
    let program = product()?;
    let mut tally = Tally::default();
    let packages = dist::test(&program, full, &mut tally)?;
    setup::emulation()?;
    tally.add(vm::package::test(&packages)?);
    Ok(tally)
}

/// Builds the program that the tests use.
fn product() -> Result<PathBuf> {
    build_with("cli")?;
    let target = MetadataCommand::new().no_deps().exec()?.target_directory;
    Ok(target.join("debug/spamdrop").into())
}

/// Builds the miniature mail server.
fn lab_server() -> Result<()> {
    build_with("smtp")
}

/// Builds a test program and the programs of its package. `cargo build` would select other
/// features for the dependencies, and would compile most of them once more.
fn build_with(test: &str) -> Result<()> {
    let mut build = cargo(["test", "--no-run", "--quiet"]);
    build.args(HOST_PACKAGES).args(["--features", FEATURE]);
    run_command(build.args(["--test", test]))
}

/// Test programs that need root require this feature, so that a plain `cargo test` skips
/// them. All packages are built with it, so that one build suffices.
pub const FEATURE: &str = "kernel-tests";

/// Runs tests and counts them by libtest's output. A program that dies before
/// it prints its counts is one failure.
fn libtest(command: &mut Command) -> Tally {
    let mut tally = Tally::default();
    let outcome = each_line(command, |line| {
        println!("{line}");
        tally.read(line);
    });
    if outcome.is_err() && tally.failed == 0 {
        tally.check(outcome);
    }
    tally
}
