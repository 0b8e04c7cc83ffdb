//! The packet filter as a separate file. spamdrop's build script builds it;
//! this module copies the result.

use std::fs;

use anyhow::{Context as _, Result};
use cargo_metadata::{Message, MetadataCommand};

use crate::{
    command::{cargo, output},
    setup,
};

/// Builds the object and leaves it in `target/bpf`. The build script always
/// optimises it, so the object is the same as in a release.
///
/// # Errors
///
/// Names the command or the file that failed.
pub fn build(without_log: bool) -> Result<()> {
    setup::building()?;
    let metadata = MetadataCommand::new().no_deps().exec()?;
    let package = metadata
        .packages
        .iter()
        .find(|package| package.name == "spamdrop")
        .context("the workspace has no package spamdrop")?;

    let mut command = cargo(["build", "--package", "spamdrop"]);
    command.arg("--message-format=json-render-diagnostics");
    if without_log {
        command.arg("--no-default-features");
    }
    let messages = output(&mut command)?;
    let out_dir = Message::parse_stream(messages.as_bytes())
        .find_map(|message| match message {
            Ok(Message::BuildScriptExecuted(script)) if script.package_id == package.id => {
                Some(script.out_dir)
            }
            _ => None,
        })
        .context("cargo did not say where spamdrop's build script writes")?;

    let built = out_dir.join("spamdrop-ebpf");
    let object = metadata.target_directory.join("bpf").join("spamdrop.o");
    fs::create_dir_all(metadata.target_directory.join("bpf"))?;
    let size =
        fs::copy(&built, &object).with_context(|| format!("cannot copy {built} to {object}"))?;
    println!("{object}: {size} bytes");
    Ok(())
}
