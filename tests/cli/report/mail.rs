//! The report that the example units mail.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// Runs the script of the example unit, with `cat` in place of `sendmail`.
#[test]
fn the_daily_report_is_mailed_also_where_nothing_is_protected() {
    let home = Home::new("");
    let program = env!("CARGO_BIN_EXE_spamdrop");
    let config = home.path("spamdrop.toml");
    let wrapper = format!(
        "#!/bin/sh\nexec {program} --config {} \"$@\"\n",
        config.display()
    );
    let wrapper = home.write("spamdrop", wrapper.as_bytes());
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    let unit = include_str!("../../../spamdrop/dist/examples/spamdrop-report.service");
    let script = spamdrop_lab::unit::script(unit, "").unwrap();
    let script = script.replace("/usr/sbin/sendmail", "cat #");
    let script = script.replace("spamdrop status", &format!("{wrapper} status"));
    let script = script.replace("spamdrop report", &format!("{wrapper} report"));
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    let text = stdout(&output);
    let (head, parts) = text.split_once("\n\n").unwrap();
    assert_eq!(
        head,
        "To: root\nSubject: spamdrop on host: daily report\nMIME-Version: 1.0\n\
         Content-Type: multipart/mixed; boundary=report\n\
         Content-Transfer-Encoding: 8bit",
        "{}",
        stderr(&output)
    );
    let parts: Vec<&str> = parts.split("--report").collect();
    let ["", plain, attached, "--\n"] = parts[..] else {
        panic!("{parts:?}")
    };
    let start = "\nContent-Type: text/plain; charset=utf-8\n\
                 Content-Transfer-Encoding: 8bit\n\nNOT PROTECTING: ";
    assert!(plain.starts_with(start), "{plain}");
    assert!(plain.contains("\n\nno waves since "), "{plain}");
    let (head, page) = attached.split_once("\n\n").unwrap();
    assert!(
        head.ends_with("\nContent-Transfer-Encoding: base64"),
        "{head}"
    );
    let mut decoder = Command::new("base64");
    let page = home.write("page", page.as_bytes());
    let page = decoder.args(["-d", &page]).output().unwrap();
    assert!(stdout(&page).starts_with("<!DOCTYPE html>"), "{attached}");
    assert!(stdout(&page).ends_with("</html>\n"), "{attached}");
    assert_eq!(code(&output), 0);
}
