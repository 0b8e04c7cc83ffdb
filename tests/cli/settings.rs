//! `settings`: what is understood of the mail server's settings.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use super::*;

const KEY: &str = "abcdefghijklmnopqrstuvwx12";

/// A machine with a `postconf` and an `exim4` of its own.
fn home(servers: &str) -> Home {
    let home = Home::new(&format!("servers = {servers}\nuser = \"root\"\n"));
    let postconf = format!(
        "case \"$1\" in
-h) echo {} ;;
-Mf) echo 'smtp inet n - y - 25 smtpd' ;;
-n) echo 'mynetworks = 192.0.2.0/24'
    echo 'smtpd_recipient_restrictions = permit_mynetworks, reject_rbl_client {KEY}.zen.dq.spamhaus.net, permit' ;;
default_process_limit) ;;
*) exit 1 ;;
esac",
        home.path("postfix").display()
    );
    let exim =
        "case \"$2\" in config) echo 'smtp_accept_max = 0' ;; *) echo /nowhere/exim.conf ;; esac";
    for (name, script) in [("postconf", postconf.as_str()), ("exim4", exim)] {
        let path = home.write(
            &format!("bin/{name}"),
            format!("#!/bin/sh\n{script}\n").as_bytes(),
        );
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    home.write("postfix/main.cf", b"");
    home
}

fn settings(home: &Home, args: &[&str]) -> Output {
    let mut command = home.command(&[&["settings"], args].concat());
    let path = format!("{}:/usr/bin:/bin", home.path("bin").display());
    command.env("PATH", path).output().unwrap()
}

#[test]
fn the_settings_of_each_server_are_shown() {
    let home = home("[\"postfix\", \"rspamd\", \"exim\"]");
    let output = settings(&home, &[]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let directory = home.path("postfix");
    let directory = directory.display();
    assert_eq!(
        stdout(&output),
        format!(
            "\
postfix
  file: {directory}/main.cf
  file: {directory}/master.cf (missing)
  slots: 25, by maxproc of smtpd in master.cf
  AUTH on port 25: no
  zone: ***.zen.dq.spamhaus.net: rejects
  exempt: mynetworks: 1 networks skip the zones, 0 are refused or treated in a way that is not understood
exim
  file: /nowhere/exim.conf (missing)
  slots: unknown: smtp_accept_max is 0, which is no limit
  AUTH on port 25: no
  zones: none
"
        )
    );
    assert!(!home.path("run_dir").exists());
}

#[test]
fn what_is_written_has_the_key_and_json_has_not() {
    let home = home("[\"postfix\"]");
    fs::create_dir(home.path("run_dir")).unwrap();
    let output = settings(&home, &["--write", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(
        stderr(&output).contains("server.json"),
        "{}",
        stderr(&output)
    );
    let json: serde_json::Value = serde_json::from_str(stdout(&output)).unwrap();
    assert_eq!(json["version"], 1);
    assert_eq!(json["servers"][0]["server"], "postfix");
    assert_eq!(json["servers"][0]["slots"]["known"]["count"], 25);
    assert_eq!(json["servers"][0]["auth"], "absent");
    assert_eq!(
        json["servers"][0]["rules"][0]["zone"],
        "***.zen.dq.spamhaus.net"
    );
    assert_eq!(
        json["servers"][0]["tables"][0]["entries"][0]["says"],
        "permit"
    );
    let path = home.path("run_dir/server.json");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
    let written = fs::read_to_string(path).unwrap();
    assert!(
        written.contains(&format!("{KEY}.zen.dq.spamhaus.net")),
        "{written}"
    );
    assert_eq!(fs::read_dir(home.path("run_dir")).unwrap().count(), 1);
}

/// Runs `setup` on the machine of `home`, with another configuration.
fn setup(home: &Home, config: &str, args: &[&str]) -> Output {
    let run_dir = home.path("run_dir");
    let text = format!("run_dir = {run_dir:?}\ncourier_dir = \"/nowhere\"\n{config}");
    fs::write(home.path("spamdrop.toml"), text).unwrap();
    let mut command = home.command(&[&["setup"], args].concat());
    let path = format!("{}:/usr/bin:/bin", home.path("bin").display());
    command.env("PATH", path).output().unwrap()
}

const CONFIG: &str = "#servers = [\"courier\"]\ninterfaces = [\"lo\"]\nlogs = [\"-\"]\n";

#[test]
fn setup_proposes_what_it_finds_and_writes_it() {
    let home = home("[]");
    fs::remove_file(home.path("bin/exim4")).unwrap();
    fs::create_dir(home.path("run_dir")).unwrap();
    let output = setup(&home, CONFIG, &[]);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    let path = home.path("spamdrop.toml");
    let shown = path.display();
    assert_eq!(
        stdout(&output),
        format!(
            "\
--- {shown}
+++ {shown}
@@ line 3: it is installed @@
-#servers = [\"courier\"]
+servers = [\"postfix\"]
interfaces: unchanged: the configuration sets it
logs: unchanged: the configuration sets it
slots: unchanged: the server has 25, by maxproc of smtpd in master.cf
zones: unchanged: the server rejects by ***.zen.dq.spamhaus.net
"
        )
    );
    assert!(!home.path("run_dir/server.json").exists());
    let before = fs::read_to_string(&path).unwrap();
    // A link and a mode that the administrator chose stay.
    let real = home.path("real.toml");
    fs::rename(&path, &real).unwrap();
    symlink(&real, &path).unwrap();
    fs::set_permissions(&real, Permissions::from_mode(0o640)).unwrap();
    assert_eq!(code(&setup(&home, CONFIG, &["--write"])), 0);
    assert_eq!(fs::metadata(&real).unwrap().mode() & 0o777, 0o640);
    assert_eq!(fs::read_link(&path).unwrap(), real);
    let written = fs::read_to_string(&path).unwrap();
    assert_eq!(
        written,
        before.replace("#servers = [\"courier\"]", "servers = [\"postfix\"]")
    );
    assert!(home.path("run_dir/server.json").exists());
}

#[test]
fn setup_asks_for_what_it_cannot_decide() {
    let home = home("[]");
    let output = setup(&home, CONFIG, &[]);
    assert_eq!(code(&output), 1);
    let text = stdout(&output);
    let servers = "servers: set it by hand: postfix and exim are installed; name the one";
    assert!(text.contains(servers), "{text}");
    assert!(text.contains("slots: set it by hand: "), "{text}");
    assert!(text.contains("nothing to change"), "{text}");
}

#[test]
fn courier_needs_nothing_written() {
    let home = Home::new("user = \"root\"\n");
    let shown = settings(&home, &[]);
    assert_eq!(code(&shown), 1);
    assert!(stderr(&shown).contains("`servers` names neither postfix nor exim"));
    assert_eq!(code(&settings(&home, &["--write"])), 0);
    // `--write` has made the directory, which is empty.
    let made = fs::read_dir(home.path("run_dir")).unwrap();
    assert_eq!(made.count(), 0);
}

#[test]
fn a_server_that_is_not_installed_is_named() {
    let home = Home::new("servers = [\"exim\"]\nuser = \"root\"\n");
    let output = settings(&home, &["--write"]);
    assert_eq!(code(&output), 1);
    let error = stderr(&output);
    assert!(
        error.contains("neither a program exim4 nor a configuration of Exim"),
        "{error}"
    );
}
