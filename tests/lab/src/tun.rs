//! Tun and tap devices: their packets go through a file.

#![allow(unsafe_code, reason = "the devices are made by ioctl(2)")]

use std::fs::{File, OpenOptions};
use std::io::Error;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;

use anyhow::{Context as _, Result, ensure};

use crate::host::Host;

// linux/if_tun.h
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
const TUNSETLINK: libc::c_ulong = 0x4004_54cd;
const IFF_NO_PI: libc::c_short = 0x1000;
/// IFNAMSIZ, of which the last byte is 0.
const NAME_SIZE: usize = 16;

/// The kind of a device: with which header each packet in the file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The IP header, whatever the link type is.
    Tun = 1,
    /// An Ethernet header.
    Tap = 2,
}

/// Makes a device of this name. It is gone when its file is closed; reading
/// the file does not block.
///
/// # Errors
///
/// The kernel refused the name, or has no driver.
pub fn open(host: &Host, name: &str, kind: Kind) -> Result<File> {
    let name = name.to_owned();
    ensure!(name.len() < NAME_SIZE, "{name} is too long for a device");
    host.run(move || {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")
            .context("/dev/net/tun")?;
        // struct ifreq: the name, then the flags.
        let mut request = [0u8; 40];
        for (to, from) in request.iter_mut().zip(name.as_bytes()) {
            *to = *from;
        }
        let flags = (kind as libc::c_short | IFF_NO_PI).to_ne_bytes();
        for (to, from) in request.iter_mut().skip(NAME_SIZE).zip(flags) {
            *to = from;
        }
        // SAFETY: the kernel reads and writes a struct ifreq, which is 40 bytes.
        let made = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw mut request) };
        ensure!(made == 0, "make {name}: {}", Error::last_os_error());
        Ok(file)
    })
}

/// Sets the link type, `ARPHRD_*` of linux/if_arp.h, of a device that is down.
///
/// # Errors
///
/// The device is up.
pub fn set_link_type(tun: &File, link_type: libc::c_ulong) -> Result<()> {
    // SAFETY: the argument is a number.
    let set = unsafe { libc::ioctl(tun.as_raw_fd(), TUNSETLINK, link_type) };
    ensure!(set == 0, "set the link type: {}", Error::last_os_error());
    Ok(())
}
