//! The guest's network cards, which xtask/src/vm/qemu.sh joins by a bridge.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};
use spamdrop_lab::Host;
use spamdrop_lab::wait::until;

const BACK_WITHIN: Duration = Duration::from_secs(20);

/// A card, by the last byte of its address.
#[derive(Clone, Copy)]
pub enum Card {
    /// The card of the host `world`.
    World = 0,
    Virtio = 1,
    FourQueues = 2,
    FixedOffloads = 3,
    E1000e = 4,
    Vmxnet3 = 5,
}

/// The kernel's release. Fails outside of a guest, where cards would be taken
/// away from the machine.
pub fn guest() -> String {
    let parameters = fs::read_to_string("/proc/cmdline").unwrap();
    assert!(
        parameters.contains("vm_init="),
        "this test runs only in a guest: `cargo xtask test --only vm` boots it"
    );
    spamdrop_lab::interfaces::kernel().unwrap()
}

impl Card {
    /// Moves the card to a host and calls it `name` there. When the host ends,
    /// the kernel moves the card back.
    pub fn plug(self, host: &Host, name: &str, mtu: u16) {
        guest();
        let found = until("the card to come back", BACK_WITHIN, || self.find()).unwrap();
        let tid = host.tid().to_string();
        let mtu = mtu.to_string();
        ip(&["link", "set", &found, "down"]);
        ip(&["link", "set", &found, "mtu", &mtu]);
        ip(&["link", "set", &found, "netns", &tid, "name", name]);
    }

    /// The card's name in the first network namespace, once it is there without
    /// the filter of an earlier test.
    fn find(self) -> Result<Option<String>> {
        for entry in fs::read_dir("/sys/class/net")? {
            let directory = entry?.path();
            // Interfaces may vanish meanwhile.
            let address = fs::read_to_string(directory.join("address")).unwrap_or_default();
            if address.trim_end() == self.address() {
                return Ok(
                    name(directory).filter(|name| !ip(&["link", "show", name]).contains("xdp"))
                );
            }
        }
        Ok(None)
    }

    /// The card's Ethernet address.
    pub fn address(self) -> String {
        format!("02:00:00:00:00:{:02x}", self as u8)
    }
}

fn name(directory: PathBuf) -> Option<String> {
    Some(directory.file_name()?.to_str()?.to_owned())
}

/// Runs `ip` in the first network namespace.
fn ip(args: &[&str]) -> String {
    let run = || -> Result<String> {
        let output = Command::new("ip").args(args).output()?;
        if !output.status.success() {
            bail!("{}", String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    };
    run().unwrap_or_else(|error| panic!("ip {args:?}: {error}"))
}
