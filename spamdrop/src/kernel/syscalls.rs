//! Limits by seccomp the system calls that the daemon and journalctl can make.
//! All others fail with EPERM; no process is killed.
//!
//! A parser that an attacker took over can then still use the daemon's files
//! and maps, but cannot change its identity, enter namespaces, mount, trace
//! processes, load modules, or reach the many rarely used parts of the kernel.

use std::collections::BTreeMap;
use std::env::consts::ARCH;

use anyhow::{Context as _, Result};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter_all_threads,
};

/// The name and number of an allowed system call, and its conditions. If there
/// are any, the call is allowed only if one of them holds.
type Call = (&'static str, i64, Vec<SeccompRule>);

macro_rules! calls {
    ($($name:ident)*) => {
        vec![$((
            stringify!($name).trim_start_matches("SYS_"),
            libc::$name as i64,
            Vec::new(),
        )),*]
    };
}

/// The calls that are allowed with any arguments. The daemon, or journalctl of systemd 252 to
/// 259, needs them.
fn unconditional() -> Vec<Call> {
    calls![
        SYS_accept4 SYS_bind SYS_bpf SYS_brk SYS_capget SYS_clock_getres SYS_clock_gettime
        SYS_clock_nanosleep SYS_close SYS_close_range SYS_connect SYS_dup SYS_dup3
        SYS_epoll_create1 SYS_epoll_ctl SYS_epoll_pwait SYS_eventfd2 SYS_execve SYS_exit
        SYS_exit_group SYS_faccessat SYS_faccessat2 SYS_fadvise64 SYS_fallocate SYS_fchmod
        SYS_fcntl SYS_fdatasync SYS_fgetxattr SYS_flock SYS_fstat SYS_fstatfs SYS_fsync
        SYS_ftruncate SYS_futex SYS_getcwd SYS_getdents64 SYS_getegid SYS_geteuid SYS_getgid
        SYS_getgroups SYS_getpeername SYS_getpid SYS_getppid SYS_getrandom SYS_getresgid
        SYS_getresuid SYS_getrusage SYS_getsockname SYS_getsockopt SYS_gettid SYS_gettimeofday
        SYS_getuid SYS_getxattr SYS_inotify_add_watch SYS_inotify_init1 SYS_inotify_rm_watch
        SYS_kill SYS_listen SYS_lseek SYS_madvise SYS_memfd_create SYS_mkdirat SYS_mknodat
        SYS_mmap SYS_mprotect SYS_mremap SYS_munmap SYS_nanosleep SYS_newfstatat SYS_openat
        SYS_openat2 SYS_pidfd_open SYS_pidfd_send_signal SYS_pipe2 SYS_ppoll SYS_pread64
        SYS_prlimit64 SYS_pselect6 SYS_pwrite64 SYS_read SYS_readlinkat SYS_readv SYS_recvfrom
        SYS_recvmmsg SYS_recvmsg SYS_renameat SYS_renameat2 SYS_restart_syscall SYS_rseq
        SYS_rt_sigaction SYS_rt_sigprocmask SYS_rt_sigreturn SYS_sched_getaffinity
        SYS_sched_yield SYS_sendmmsg SYS_sendmsg SYS_sendto SYS_set_robust_list
        SYS_set_tid_address SYS_setpgid SYS_setsockopt SYS_shutdown SYS_sigaltstack
        SYS_socketpair SYS_statfs SYS_statx SYS_symlinkat SYS_sysinfo SYS_tgkill SYS_times
        SYS_umask SYS_uname SYS_unlinkat SYS_wait4 SYS_waitid SYS_write SYS_writev
    ]
}

/// Calls that newer architectures do not have: older forms of other permitted calls, and
/// `arch_prctl`.
#[cfg(target_arch = "x86_64")]
fn of_this_machine() -> Vec<Call> {
    calls![
        SYS_access SYS_arch_prctl SYS_dup2 SYS_epoll_wait SYS_getrlimit SYS_lstat SYS_mkdir
        SYS_mknod SYS_open SYS_pipe SYS_poll SYS_readlink SYS_rename SYS_rmdir SYS_select
        SYS_stat SYS_symlink SYS_time SYS_unlink SYS_vfork
    ]
}

#[cfg(not(target_arch = "x86_64"))]
fn of_this_machine() -> Vec<Call> {
    Vec::new()
}

/// The allowed families of sockets. AF_UNIX is for syslog and the name services,
/// AF_INET and AF_INET6 for DNS and the responder, AF_NETLINK to read interfaces
/// and the mail server's sockets.
const FAMILIES: [i32; 4] = [
    libc::AF_UNIX,
    libc::AF_INET,
    libc::AF_INET6,
    libc::AF_NETLINK,
];

/// The allowed ioctl(2) requests. TIOCSTI, by which a program types into its
/// terminal, is not among them.
const CONTROLS: [libc::Ioctl; 7] = [
    libc::FIOCLEX,
    libc::FIONBIO,
    libc::FIONREAD,
    libc::FS_IOC_GETFLAGS,
    libc::TCGETS,
    libc::TCGETS2,
    libc::TIOCGWINSZ,
];

/// The allowed operations of prctl(2): to name threads and memory, to be signalled
/// when the parent ends, and to read attributes of the process.
const PROCESS_CONTROLS: [i32; 8] = [
    libc::PR_CAPBSET_READ,
    libc::PR_GET_DUMPABLE,
    libc::PR_GET_NAME,
    libc::PR_GET_NO_NEW_PRIVS,
    libc::PR_GET_SECUREBITS,
    libc::PR_SET_NAME,
    libc::PR_SET_PDEATHSIG,
    libc::PR_SET_VMA,
];

/// The flags by which clone(2) makes namespaces. clone(2) is allowed only without them.
const NAMESPACES: i32 = libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWUTS;

fn all() -> Result<Vec<Call>> {
    let mut all = unconditional();
    all.extend(of_this_machine());
    let number = |value: i32| u64::from(value.cast_unsigned());
    let new_namespaces = SeccompCmpOp::MaskedEq(number(NAMESPACES));
    all.extend([
        ("clone", libc::SYS_clone, vec![rule(0, new_namespaces, 0)?]),
        // The first filter of `programs` refuses this call with ENOSYS.
        ("clone3", libc::SYS_clone3, Vec::new()),
        ("ioctl", libc::SYS_ioctl, any_of(1, CONTROLS.map(request))?),
        (
            "prctl",
            libc::SYS_prctl,
            any_of(0, PROCESS_CONTROLS.map(number))?,
        ),
        ("socket", libc::SYS_socket, any_of(0, FAMILIES.map(number))?),
    ]);
    Ok(all)
}

/// The number of an ioctl(2) request, which has 32 bits in the kernel. The C libraries
/// differ in its type.
fn request(number: libc::Ioctl) -> u64 {
    let [first, second, third, fourth, ..] = number.to_le_bytes();
    u32::from_le_bytes([first, second, third, fourth]).into()
}

fn any_of(argument: u8, values: impl IntoIterator<Item = u64>) -> Result<Vec<SeccompRule>> {
    let rules = values.into_iter();
    rules
        .map(|value| rule(argument, SeccompCmpOp::Eq, value))
        .collect()
}

fn rule(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompRule> {
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
    Ok(SeccompRule::new(vec![condition])?)
}

/// Applies the filters to this process, its later threads and the programs that
/// it starts. `no_new_privs` must be set.
///
/// # Errors
///
/// The kernel has no seccomp, or seccompiler does not support this architecture.
pub fn limit() -> Result<()> {
    for program in programs()? {
        apply_filter_all_threads(&program)?;
    }
    Ok(())
}

/// The filter for clone3, and the filter for all system calls.
///
/// The flags of clone3 lie in memory, which a filter cannot read. The C library
/// uses clone where the kernel does not have clone3 (ENOSYS), and the flags of
/// clone can be checked.
fn programs() -> Result<[BpfProgram; 2]> {
    let clone3 = BTreeMap::from([(libc::SYS_clone3, Vec::new())]);
    let calls = all()?.into_iter().map(|(_, number, rules)| (number, rules));
    let refused = |errno: i32| SeccompAction::Errno(errno.cast_unsigned());
    Ok([
        program(clone3, SeccompAction::Allow, refused(libc::ENOSYS))?,
        program(calls.collect(), refused(libc::EPERM), SeccompAction::Allow)?,
    ])
}

fn program(
    calls: BTreeMap<i64, Vec<SeccompRule>>,
    others: SeccompAction,
    action: SeccompAction,
) -> Result<BpfProgram> {
    let machine = TargetArch::try_from(ARCH)
        .with_context(|| format!("no filter of system calls is known for {ARCH}"))?;
    let mut program: BpfProgram = SeccompFilter::new(calls, others, action, machine)?.try_into()?;
    for instruction in &mut program {
        if (instruction.code, instruction.k) == (RETURN, libc::SECCOMP_RET_KILL_PROCESS) {
            // seccompiler would kill the process at a call of another architecture, such
            // as a 32-bit one.
            instruction.k = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();
        }
    }
    Ok(program)
}

/// The instruction `BPF_RET | BPF_K`.
const RETURN: u16 = 0x06;

#[cfg(test)]
mod tests;
