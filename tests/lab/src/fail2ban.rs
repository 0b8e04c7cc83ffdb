//! fail2ban: Debian's package is unpacked but not installed; it is mounted over the
//! machine's `/usr` in the host's own mount namespace.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::{Daemon, Host, debian_tree};

const TREE: &str = "/run/tree";
/// The directory of the configuration, on its host.
pub const CONFIG: &str = "/run/fail2ban";
const READY_WITHIN: Duration = Duration::from_secs(20);

const SERVER: &str = "[Definition]
loglevel = INFO
logtarget = STDOUT
syslogsocket = auto
socket = /run/fail2ban/socket
pidfile = /run/fail2ban/pid
dbpurgeage = 1d
allowipv6 = auto
";

/// Starts fail2ban on `host` with the jail `name`, and returns when the jail has started.
/// `jail` is the text of `jail.conf`, `database` the value of `dbfile`, and `files` are
/// the names and texts of further configuration files.
///
/// # Errors
///
/// The package is not unpacked, or fail2ban did not start; the error contains its
/// output.
pub fn start(
    host: &Host,
    name: &str,
    jail: &str,
    database: &str,
    files: &[(&'static str, String)],
) -> Result<Daemon> {
    let tree = debian_tree()?;
    let layers = format!("lowerdir={TREE}/usr:/usr");
    host.exec(["mkdir", TREE, CONFIG])?;
    // The path of the bind mount has no character that separates mount options.
    host.exec(["mount", "--bind", &tree.to_string_lossy(), TREE])?;
    host.exec(["mount", "-t", "overlay", "overlay", "/usr", "-o", &layers])?;
    let server = format!("{SERVER}dbfile = {database}\n");
    let mut all = files.to_vec();
    all.extend([("fail2ban.conf", server), ("jail.conf", jail.to_owned())]);
    host.run(move || configure(&all))?;
    let args = ["-xf", "-c", CONFIG, "start"];
    let no_env: [(&str, &str); 0] = [];
    let daemon = Daemon::start(host, "fail2ban-server", args, no_env)?;
    let started = format!("Jail '{name}' started");
    daemon
        .wait_for(|line| line.contains(&started), READY_WITHIN)
        .context("start fail2ban")?;
    Ok(daemon)
}

/// Writes `files`, and links to the package's own actions and filters.
fn configure(files: &[(&'static str, String)]) -> Result<()> {
    let (config, stock) = (Path::new(CONFIG), Path::new(TREE).join("etc/fail2ban"));
    for directory in ["action.d", "filter.d"] {
        fs::create_dir(config.join(directory))?;
        for file in fs::read_dir(stock.join(directory))? {
            let file = file?;
            symlink(file.path(), config.join(directory).join(file.file_name()))?;
        }
    }
    for (name, text) in files {
        fs::write(config.join(name), text)?;
    }
    Ok(())
}
