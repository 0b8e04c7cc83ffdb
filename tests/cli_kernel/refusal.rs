//! Drivers that refuse native XDP, imitated by a library that is loaded before
//! the C library.

use std::path::PathBuf;
use std::process::Output;

use super::*;

fn shim(site: &Site) -> PathBuf {
    let library = site.path("shim.so");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/cli_kernel/shim.c");
    let built = std::process::Command::new("cc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&library)
        .args([source, "-ldl"])
        .status()
        .unwrap();
    assert!(built.success());
    library
}

/// `spamdrop attach eth0` where the driver's answer is this error.
fn attach(site: &Site, errno: i32, flags: &[&str]) -> Output {
    let mut command = site.server.command("env");
    command
        .arg(format!("LD_PRELOAD={}", shim(site).display()))
        .arg(format!("FAKE_ERRNO={errno}"))
        .arg(env!("CARGO_BIN_EXE_spamdrop"))
        .arg("--config")
        .arg(site.path("spamdrop.toml"))
        .args(["attach", "eth0"])
        .args(flags)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    site.server
        .spawn(&mut command)
        .unwrap()
        .wait_with_output()
        .unwrap()
}

fn xdp_on_eth0(site: &Site) -> &'static str {
    let shown = site.server.exec(["ip", "link", "show", "eth0"]).unwrap();
    if shown.contains(" xdpgeneric ") {
        "generic"
    } else if shown.contains(" xdp ") {
        "native"
    } else {
        "none"
    }
}

/// EOPNOTSUPP, ERANGE, EINVAL, ENOMEM, ENOSPC, EFAULT. spamdrop tries again by netlink,
/// to get the driver's message. Here this second attempt succeeds, and is undone.
#[test]
fn whatever_the_driver_says_the_filter_is_attached() {
    for errno in [95, 34, 22, 12, 28, 14] {
        let site = site("");
        let output = attach(&site, errno, &["--mode", "native"]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let error = std::io::Error::from_raw_os_error(errno).to_string();
        for part in ["eth0 refuses native XDP", &error, "--mode generic"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(xdp_on_eth0(&site), "none", "after {error}");

        let output = attach(&site, errno, &[]);
        let said = stderr(&output);
        assert!(output.status.success(), "{said}");
        assert!(
            said.contains(&error) && said.contains("generic hook"),
            "{said}"
        );
        assert_eq!(xdp_on_eth0(&site), "generic", "after {error}");
        site.spamdrop(&["add", "100.64.0.9"]).unwrap();
        assert!(site.dropped("100.64.0.9", WAIT).unwrap());
        site.spamdrop(&["detach"]).unwrap();
        assert_eq!(xdp_on_eth0(&site), "none", "after {error}");
    }
}

/// EPERM, EACCES, EBUSY, EEXIST.
#[test]
fn a_program_that_is_there_and_a_missing_right_end_the_attempt() {
    for (errno, code) in [(1, 4), (13, 4), (16, 1), (17, 1)] {
        let site = site("");
        let output = attach(&site, errno, &[]);
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert_eq!(xdp_on_eth0(&site), "none", "errno {errno}");
    }
}
