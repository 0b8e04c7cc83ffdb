//! A program in place of an older version's: it drops TCP packets to port 25 from IPv4
//! sources in `blocked4`, and extends their entries, as every version has done. An
//! entry begins with `expires` (u64, nanoseconds); the caller gives the offsets of
//! `ttl_s` and `hits` (u32).

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use aya::maps::MapData;
use aya_obj::generated::{bpf_attach_type, bpf_attr, bpf_cmd, bpf_insn, bpf_prog_type};

/// The offsets of an entry's fields.
#[derive(Clone, Copy)]
pub struct Offsets {
    pub ttl_s: i16,
    pub hits: i16,
}

const SECOND: i32 = 1_000_000_000;
const DROP: i32 = 1;
const PASS: i32 = 2;

// Instruction codes, from linux/bpf.h.
const LOAD_BYTE: u8 = 0x71;
const LOAD_HALF: u8 = 0x69;
const LOAD_WORD: u8 = 0x61;
const LOAD_LONG: u8 = 0x79;
const STORE_WORD: u8 = 0x63;
const STORE_LONG: u8 = 0x7b;
const LOAD_IMMEDIATE: u8 = 0x18;
const MOVE: u8 = 0xbf;
const SET: u8 = 0xb7;
const ADD: u8 = 0x0f;
const ADD_NUMBER: u8 = 0x07;
const MULTIPLY_BY: u8 = 0x27;
const IF_GREATER: u8 = 0x2d;
const IF_NOT: u8 = 0x55;
const IF_EQUAL: u8 = 0x15;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
// Numbers of helper functions.
const LOOK_UP: i32 = 1;
const COARSE_TIME: i32 = 160;

/// An instruction: code, target and source registers, offset, and immediate.
type Line = (u8, u8, u8, i16, i32);

/// A jump offset that is replaced by the distance to the end that passes the
/// packet.
const TO_PASS: i16 = i16::MAX;

fn program(map: RawFd, at: Offsets) -> Vec<bpf_insn> {
    // The frame is expected to be Ethernet, IPv4 without options, and TCP.
    let lines: [Line; 34] = [
        (LOAD_WORD, 6, 1, 0, 0),
        (LOAD_WORD, 2, 1, 4, 0),
        (MOVE, 3, 6, 0, 0),
        (ADD_NUMBER, 3, 0, 0, 54),
        (IF_GREATER, 3, 2, TO_PASS, 0),
        (LOAD_HALF, 3, 6, 12, 0),
        (IF_NOT, 3, 0, TO_PASS, i32::from(0x0800_u16.to_be())),
        (LOAD_BYTE, 3, 6, 23, 0),
        (IF_NOT, 3, 0, TO_PASS, 6),
        (LOAD_HALF, 3, 6, 36, 0),
        (IF_NOT, 3, 0, TO_PASS, i32::from(25_u16.to_be())),
        (LOAD_WORD, 3, 6, 26, 0),
        (STORE_WORD, 10, 3, -4, 0),
        // The second half of an immediate is an instruction of its own.
        (LOAD_IMMEDIATE, 1, 1, 0, map),
        (0, 0, 0, 0, 0),
        (MOVE, 2, 10, 0, 0),
        (ADD_NUMBER, 2, 0, 0, -4),
        (CALL, 0, 0, 0, LOOK_UP),
        (IF_EQUAL, 0, 0, TO_PASS, 0),
        (MOVE, 7, 0, 0, 0),
        (CALL, 0, 0, 0, COARSE_TIME),
        (LOAD_LONG, 1, 7, 0, 0),
        (IF_GREATER, 0, 1, TO_PASS, 0),
        (LOAD_WORD, 1, 7, at.ttl_s, 0),
        (MULTIPLY_BY, 1, 0, 0, SECOND),
        (ADD, 0, 1, 0, 0),
        (STORE_LONG, 7, 0, 0, 0),
        (LOAD_WORD, 1, 7, at.hits, 0),
        (ADD_NUMBER, 1, 0, 0, 1),
        (STORE_WORD, 7, 1, at.hits, 0),
        (SET, 0, 0, 0, DROP),
        (EXIT, 0, 0, 0, 0),
        (SET, 0, 0, 0, PASS),
        (EXIT, 0, 0, 0, 0),
    ];
    let pass = lines.len() as i16 - 2;
    let encode = |(index, (code, target, source, offset, number)): (usize, Line)| {
        let mut line = bpf_insn {
            code,
            _bitfield_align_1: [],
            _bitfield_1: bpf_insn::new_bitfield_1(target, source),
            off: offset,
            imm: number,
        };
        if offset == TO_PASS {
            line.off = pass - index as i16 - 1;
        }
        line
    };
    lines.into_iter().enumerate().map(encode).collect()
}

/// Attaches the program to an interface and pins its link.
pub fn attach(map: &MapData, at: Offsets, ifindex: u32, pin: &Path) -> io::Result<()> {
    let program = load(&program(map.fd().as_fd().as_raw_fd(), at))?;
    let link = link(&program, ifindex)?;
    let path = CString::new(pin.as_os_str().as_bytes())?;
    let mut attr = zeroed();
    attr.__bindgen_anon_4.pathname = path.as_ptr() as u64;
    attr.__bindgen_anon_4.bpf_fd = link.as_raw_fd().unsigned_abs();
    // SAFETY: the path is a C string that outlives the call.
    unsafe { call(bpf_cmd::BPF_OBJ_PIN, &mut attr) }.map(drop)
}

fn load(program: &[bpf_insn]) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    // SAFETY: the member is plain data, and all zero.
    let load = unsafe { &mut attr.__bindgen_anon_3 };
    load.prog_type = bpf_prog_type::BPF_PROG_TYPE_XDP as u32;
    load.insns = program.as_ptr() as u64;
    load.insn_cnt = program.len() as u32;
    load.license = c"GPL".as_ptr() as u64;
    load.expected_attach_type = bpf_attach_type::BPF_XDP as u32;
    for (to, from) in load.prog_name.iter_mut().zip(b"spamdrop") {
        *to = *from as _;
    }
    // SAFETY: the pointers outlive the call.
    unsafe { owned(bpf_cmd::BPF_PROG_LOAD, &mut attr) }
}

fn link(program: &OwnedFd, ifindex: u32) -> io::Result<OwnedFd> {
    let mut attr = zeroed();
    attr.link_create.__bindgen_anon_1.prog_fd = program.as_raw_fd().unsigned_abs();
    attr.link_create.__bindgen_anon_2.target_ifindex = ifindex;
    attr.link_create.attach_type = bpf_attach_type::BPF_XDP as u32;
    // SAFETY: the command takes no pointers.
    unsafe { owned(bpf_cmd::BPF_LINK_CREATE, &mut attr) }
}

fn zeroed() -> bpf_attr {
    // SAFETY: all zeros are a valid value, and unused members must be zero.
    unsafe { std::mem::zeroed() }
}

/// # Safety
///
/// As [`call`]; the command must return a file descriptor.
unsafe fn owned(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<OwnedFd> {
    // SAFETY: by this function's contract.
    let fd = unsafe { call(command, attr) }?;
    // SAFETY: the kernel has just returned this descriptor, and nothing else
    // owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// # Safety
///
/// `attr` must be what `command` expects, and its pointers must be valid.
unsafe fn call(command: bpf_cmd, attr: &mut bpf_attr) -> io::Result<RawFd> {
    // SAFETY: by this function's contract.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            std::ptr::from_mut(attr),
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    RawFd::try_from(result).map_err(io::Error::other)
}
