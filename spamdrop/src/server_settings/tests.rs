#![expect(clippy::unwrap_used, reason = "a test may panic")]
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use spamdrop_core::server_settings::{AuthSetting, SlotSetting};

/// A directory with programs and files in place of a mail server's.
struct Machine(tempfile::TempDir);

impl Machine {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> String {
        fs::write(self.path(name), text).unwrap();
        self.path(name).display().to_string()
    }

    fn program(&self, name: &str, script: &str) -> String {
        let path = self.write(name, &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// Places in this directory. There is no program until a test writes one.
    fn places(&self) -> Places {
        Places {
            postconf: self.path("postconf").display().to_string(),
            postfix_dir: self.0.path().into(),
            exim: vec![self.path("exim4").display().to_string()],
            exim_files: vec![self.path("none"), self.path("exim.conf")],
        }
    }

    fn gather(&self, server: MailServer) -> Result<ServerSettings> {
        Ok(gather(server, &self.places())?.unwrap())
    }
}

fn known(settings: &ServerSettings) -> u32 {
    match settings.slots {
        SlotSetting::Known { count, .. } => count,
        SlotSetting::Unknown(ref why) => panic!("{why}"),
    }
}

#[test]
fn postconf_is_asked() {
    let machine = Machine::new();
    let clients = machine.write("clients", "192.0.2.0/24 OK\n");
    machine.write("main.cf", "");
    let directory = machine.0.path().display();
    let script = format!(
        "case \"$1\" in
-h) echo {directory} ;;
-Mf) echo 'smtp inet n - y - - smtpd'; echo '    -o smtpd_sasl_auth_enable=yes' ;;
-n) echo 'default_process_limit = 33'
    echo 'smtpd_client_restrictions = check_client_access cidr:{clients}, reject_rbl_client b.example' ;;
default_process_limit) echo 'default_process_limit = 100' ;;
*) exit 9 ;;
esac"
    );
    machine.program("postconf", &script);
    let settings = machine.gather(MailServer::Postfix).unwrap();
    assert_eq!(known(&settings), 33);
    assert!(matches!(settings.auth, AuthSetting::Offered(_)));
    assert_eq!((settings.rules.len(), settings.tables.len()), (1, 1));
    let files: Vec<_> = settings
        .files
        .iter()
        .map(|file| (&*file.path, file.modified_unix_s.is_some()))
        .collect();
    let (main, master) = (machine.path("main.cf"), machine.path("master.cf"));
    assert_eq!(
        files,
        [
            (main.to_str().unwrap(), true),
            (master.to_str().unwrap(), false),
            (&*clients, true)
        ]
    );
}

#[test]
fn a_tool_that_fails_is_named_with_its_words() {
    let machine = Machine::new();
    machine.program(
        "postconf",
        "echo 'fatal: bad numerical configuration' >&2; exit 1",
    );
    let error = format!("{:#}", machine.gather(MailServer::Postfix).unwrap_err());
    assert!(
        error.ends_with("fatal: bad numerical configuration"),
        "{error}"
    );
}

#[test]
fn files_are_read_where_there_is_no_tool() {
    let machine = Machine::new();
    let error = format!("{:#}", machine.gather(MailServer::Postfix).unwrap_err());
    assert!(
        error.starts_with("postconf is not installed, and "),
        "{error}"
    );
    machine.write("master.cf", "smtp inet n - y - 7 smtpd\n");
    machine.write("main.cf", "# nothing\n");
    assert_eq!(known(&machine.gather(MailServer::Postfix).unwrap()), 7);
    let error = machine.gather(MailServer::Exim).unwrap_err().to_string();
    assert!(
        error.starts_with("there is neither a program exim4 nor"),
        "{error}"
    );
    machine.write("exim.conf", "smtp_accept_max = 8\n");
    assert_eq!(known(&machine.gather(MailServer::Exim).unwrap()), 8);
}

#[test]
fn exim_is_asked() {
    let machine = Machine::new();
    let file = machine.write("exim.conf", "");
    let script = format!(
        "case \"$2\" in config) echo MACRO=1; echo 'smtp_accept_max = 9' ;; configure_file) echo {file} ;; esac"
    );
    machine.program("exim4", &script);
    let settings = machine.gather(MailServer::Exim).unwrap();
    assert_eq!(known(&settings), 9);
    assert_eq!(settings.files.len(), 1);
    assert_eq!(settings.files[0].path, file);
    assert!(
        gather(MailServer::Courier, &machine.places())
            .unwrap()
            .is_none()
    );
}

#[test]
fn what_is_no_plain_file_is_not_read() {
    let machine = Machine::new();
    machine.write("master.cf", "smtp inet n - y - - smtpd\n");
    let main = "smtpd_client_restrictions = check_client_access cidr:/dev/zero, check_client_access cidr:relative, reject_rbl_client b.example\n";
    machine.write("main.cf", main);
    let settings = machine.gather(MailServer::Postfix).unwrap();
    let notes: Vec<_> = settings
        .notes
        .iter()
        .map(|note| note.text.as_str())
        .collect();
    assert!(
        notes[0].contains("/dev/zero cannot be read: it is not a regular file"),
        "{notes:?}"
    );
    assert!(notes[1].contains("it is not an absolute path"), "{notes:?}");
}

#[test]
fn what_is_written_is_read_and_only_the_group_may() {
    let machine = Machine::new();
    machine.write("master.cf", "smtp inet n - y - 7 smtpd\n");
    machine.write("main.cf", "");
    let run_dir = machine.path("run");
    assert_eq!(read(&run_dir).unwrap(), None);
    let settings = file_of(vec![machine.gather(MailServer::Postfix).unwrap()]);
    fs::create_dir(&run_dir).unwrap();
    // A link that the daemon's account has left there is not followed.
    std::os::unix::fs::symlink("/dev/full", run_dir.join("server.json.new")).unwrap();
    let path = write(&run_dir, &settings).unwrap();
    assert_eq!(read(&run_dir).unwrap().as_ref(), Some(&settings));
    let found = fs::symlink_metadata(&path).unwrap();
    assert!(found.is_file());
    assert_eq!(found.permissions().mode() & 0o7777, 0o640);
    assert_eq!(fs::read_dir(&run_dir).unwrap().count(), 1);

    assert_eq!(changed(&settings), None);
    fs::remove_file(machine.path("main.cf")).unwrap();
    assert_eq!(changed(&settings), machine.path("main.cf").to_str());
}

#[test]
fn another_version_is_refused() {
    let machine = Machine::new();
    machine.write("server.json", "{\"version\":2,\"servers\":7}");
    let error = read(machine.0.path()).unwrap_err().to_string();
    assert!(
        error.contains("has version 2, and this spamdrop reads version 1"),
        "{error}"
    );
    machine.write("server.json", "half");
    let error = read(machine.0.path()).unwrap_err().to_string();
    assert!(
        error.ends_with("run `spamdrop settings --write` as root"),
        "{error}"
    );
}
