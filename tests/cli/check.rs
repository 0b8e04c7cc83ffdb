//! `config check`.

use super::*;

#[test]
fn config_check_finds_nothing_in_a_wise_configuration() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let home = Home::new(&format!(
        "interfaces = [\"lo\"]\nports = [{port}]\nlogs = [\"-\"]\n"
    ));
    let esmtpd = "TARPIT=0\nBLACKLISTS=\"-block=zen.example,BLOCK,*\"\n";
    home.write("courier_dir/esmtpd", esmtpd.as_bytes());
    let output = home.run(&["config", "check", "--offline"]);
    let config = home.path("spamdrop.toml");
    assert_eq!(stdout(&output), format!("{}: valid\n", config.display()));
    assert_eq!(code(&output), 0);
    drop(listener);
}

#[test]
fn config_check_warns_of_what_is_unwise() {
    let home = Home::new("interfaces = [\"nope0\"]\nports = [1]\nlogs = [\"/nonexistent/log\"]\n");
    let esmtpd = b"BLACKLISTS='-block=zen.example -block=\x1b[2J'\nTCPDOPTS=-haproxy=192.0.2.1\n";
    home.write("courier_dir/esmtpd", esmtpd);
    let output = home.run(&["config", "check", "--offline", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let warnings = json["warnings"].as_array().unwrap();
    let about: Vec<&str> = warnings
        .iter()
        .map(|warning| warning["about"].as_str().unwrap())
        .collect();
    assert_eq!(
        about,
        [
            "interfaces",
            "logs",
            "ports",
            "logs",
            "TARPIT",
            "BLACKLISTS",
            "BLACKLISTS",
            "TCPDOPTS",
            "zones"
        ]
    );
    let text = stdout(&home.run(&["config", "check", "--offline"])).to_owned();
    assert!(text.contains("nothing listens on port 1 "), "{text}");
    assert!(text.contains("no interface \"nope0\""), "{text}");
    assert!(text.contains("no file \"/nonexistent/log\""), "{text}");
    assert!(
        text.contains("that a local user forged") && text.contains("set journal = true"),
        "{text}"
    );
    assert!(text.contains(r"-block=\x1b[2J never rejects"), "{text}");
}

#[test]
fn config_check_warns_of_a_file_beside_the_journal() {
    let home = Home::new("journal = true\nlogs = [\"/nonexistent/log\"]\n");
    let text = stdout(&home.run(&["config", "check", "--offline"])).to_owned();
    assert!(text.contains("set logs = []"), "{text}");
    let home = Home::new("journal = true\n");
    let text = stdout(&home.run(&["config", "check", "--offline"])).to_owned();
    assert!(!text.contains("logs"), "{text}");
}

#[test]
fn config_check_misses_courier() {
    let home = Home::new("");
    let text = stdout(&home.run(&["config", "check", "--offline"])).to_owned();
    assert!(
        text.contains("warning: courier_dir: there is no file "),
        "{text}"
    );
}

#[test]
fn config_check_leaves_courier_alone_where_it_is_not_read() {
    let home = Home::new("servers = [\"postfix\"]\nlogs = [\"/nonexistent/log\"]\n");
    let text = stdout(&home.run(&["config", "check", "--offline"])).to_owned();
    assert!(text.contains("warning: logs: "), "{text}");
    assert!(!text.contains("courier"), "{text}");
}

#[test]
fn a_pattern_that_a_sender_could_mislead_is_refused() {
    let home = Home::new("[[pattern]]\nname = \"loose\"\nmatch = '^from .*\\[<HOST>\\]'\n");
    let output = home.run(&["config", "check"]);
    assert_eq!(code(&output), 78);
    let text = stderr(&output);
    assert!(
        text.contains("pattern \"loose\": the place of <HOST>"),
        "{text}"
    );
    assert!(text.contains("\"from [1.1.1.1[9.9.9.9\""), "{text}");
}
