#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io;
use std::thread;

use seccompiler::{apply_filter, sock_filter};

use super::*;

/// The calls that the filter allows, for review: a newly allowed call is a new line of
/// the file.
const LIST: &str = include_str!("list.txt");

#[derive(Clone, Copy, Default)]
struct Data {
    number: u32,
    machine: u32,
    arguments: [u64; 6],
}

impl Data {
    /// A word of `struct seccomp_data` (linux/seccomp.h).
    fn word(self, offset: u32) -> u32 {
        let Data {
            number,
            machine,
            arguments,
        } = self;
        match offset {
            0 => number,
            4 => machine,
            8 | 12 => 0,
            offset => {
                let argument = arguments[(offset as usize - 16) / 8];
                let shift = if offset % 8 == 0 { 0 } else { 32 };
                u32::try_from(argument >> shift & 0xffff_ffff).unwrap()
            }
        }
    }
}

/// Runs a filter as the kernel does.
fn outcome(program: &[sock_filter], data: Data) -> u32 {
    let (mut at, mut accumulator) = (0, 0u32);
    loop {
        let sock_filter { code, jt, jf, k } = program[at];
        at += 1;
        let jump = |is_met: bool| usize::from(if is_met { jt } else { jf });
        match code {
            0x20 => accumulator = data.word(k),
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += jump(accumulator == k),
            0x25 => at += jump(accumulator > k),
            0x35 => at += jump(accumulator >= k),
            RETURN => return k,
            code => panic!("instruction {code:#x}"),
        }
    }
}

#[cfg(target_arch = "x86_64")]
const MACHINE: u32 = 0xc000_003e;

#[cfg(target_arch = "x86_64")]
#[test]
fn the_calls_that_are_left_are_those_of_the_list() {
    let [_, program] = programs().unwrap();
    let is_left = |number: u32, first: u64, second: u64| {
        let data = Data {
            number,
            machine: MACHINE,
            arguments: [first, second, 0, 0, 0, 0],
        };
        outcome(&program, data) == libc::SECCOMP_RET_ALLOW
    };
    let calls = all().unwrap();
    let mut found = Vec::new();
    for number in 0..1024 {
        let named = calls.iter().find(|(_, of, _)| *of == i64::from(number));
        let Some((name, _, rules)) = named else {
            assert!(!is_left(number, 0, 0), "{number}");
            continue;
        };
        if rules.is_empty() {
            assert!(is_left(number, u64::MAX, u64::MAX), "{name}");
            found.push((*name).to_owned());
            continue;
        }
        // The values of the checked argument with which the call is allowed.
        let values =
            (0..0x1_0000u64).chain(PROCESS_CONTROLS.map(|it| u64::from(it.cast_unsigned())));
        let values = values.chain(CONTROLS.map(u64::from));
        let mut values: Vec<u64> = values
            .filter(|value| match *name {
                "ioctl" => is_left(number, 0, *value),
                _ => is_left(number, *value, 0),
            })
            .collect();
        values.sort_unstable();
        values.dedup();
        match *name {
            "clone" => found.push("clone without a new namespace".into()),
            name => found.extend(values.iter().map(|value| format!("{name} {value:#x}"))),
        }
    }
    found.sort_unstable();
    let expected: Vec<&str> = LIST.lines().filter(|line| !line.starts_with('#')).collect();
    assert_eq!(found, expected, "\n{}", found.join("\n"));
}

#[cfg(target_arch = "x86_64")]
#[test]
fn what_is_not_left_fails_and_nothing_is_killed() {
    let [clone3, program] = programs().unwrap();
    let refused = |errno: i32| libc::SECCOMP_RET_ERRNO | errno.cast_unsigned();
    let call = |number: i64, first: i32| Data {
        number: u32::try_from(number).unwrap(),
        machine: MACHINE,
        arguments: [u64::from(first.cast_unsigned()), 0, 0, 0, 0, 0],
    };
    for data in [
        call(libc::SYS_ptrace, 0),
        call(libc::SYS_setuid, 0),
        call(libc::SYS_mount, 0),
        call(libc::SYS_io_uring_setup, 0),
        call(libc::SYS_clone, libc::CLONE_NEWUSER),
        call(libc::SYS_socket, libc::AF_PACKET),
        call(libc::SYS_prctl, libc::PR_SET_DUMPABLE),
        // The same numbers have other meanings in 32-bit code and for x32.
        Data {
            machine: 0x4000_0003,
            ..call(libc::SYS_read, 0)
        },
        call(libc::SYS_read | 1 << 30, 0),
    ] {
        assert_eq!(
            outcome(&program, data),
            refused(libc::EPERM),
            "{}",
            data.number
        );
    }
    assert_eq!(
        outcome(&clone3, call(libc::SYS_clone3, 0)),
        refused(libc::ENOSYS)
    );
    assert_eq!(
        outcome(&clone3, call(libc::SYS_read, 0)),
        libc::SECCOMP_RET_ALLOW
    );
}

/// This test filters only a thread of its own, and the threads and programs that it starts,
/// so that the other tests are not limited.
#[test]
fn under_the_filter_the_kernel_refuses_a_call_and_threads_and_programs_still_start() {
    let limited = thread::spawn(|| {
        for program in programs().unwrap() {
            apply_filter(&program).unwrap();
        }
        // SAFETY: the call has no arguments in memory, and 0 changes nothing.
        let result = unsafe { libc::unshare(0) };
        let error = io::Error::last_os_error();
        assert_eq!((result, error.raw_os_error()), (-1, Some(libc::EPERM)));
        // SAFETY: as above.
        let inherited = thread::spawn(|| unsafe { libc::unshare(0) });
        assert_eq!(inherited.join().unwrap(), -1);
        let status = std::process::Command::new("true").status().unwrap();
        assert!(status.success());
    });
    limited.join().unwrap();
}
