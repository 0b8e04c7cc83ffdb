//! The servers in the units of Debian, with journald as the writer of the log.

use super::*;

/// A rejection of a source, as the server logs it.
fn logged(software: Software, source: &str) -> (&'static str, String) {
    let end = "from=<a@b.example>, to=<c@here.example>, proto=ESMTP, helo=<pc>";
    match software {
        Software::Postfix => (
            "postfix/smtpd",
            format!(
                "NOQUEUE: reject: RCPT from unknown[{source}]: 554 5.7.1 Service unavailable; \
                 Client host [{source}] blocked using zone.example; {end}"
            ),
        ),
        Software::Postscreen => (
            "postfix/postscreen",
            format!(
                "NOQUEUE: reject: RCPT from [{source}]:40112: 550 5.7.1 Service unavailable; \
                 client [{source}] blocked using zone.example; {end}"
            ),
        ),
        Software::Exim => (
            "exim",
            format!(
                "H=(pc) [{source}]:40112 F=<a@b.example> rejected RCPT <c@here.example>: \
                 {source} is listed at zone.example"
            ),
        ),
    }
}

#[test]
fn the_servers_own_rejections_block_and_those_of_local_users_do_not() {
    with_each(|software| {
        let site = site(software, |options| options.journal = true);
        let _daemon = site.run().unwrap();
        let (program, line) = logged(software, CLEAN);
        let input = format!("Nov 23 08:50:54 mx {program}[7]: {line}\n");
        let scan = site.output(&["scan", "-"], input.as_bytes()).unwrap();
        let scan = String::from_utf8(scan.stdout).unwrap();
        assert!(scan.contains("1 line, 1 would block"), "{scan}");
        let socket = "/run/systemd/journal/dev-log";
        let forge = [
            "logger",
            "--socket",
            socket,
            "-p",
            "mail.info",
            "-t",
            program,
        ];
        let forge = forge.into_iter().chain([line.as_str()]);
        site.server.exec(forge).unwrap();

        polite(&site, ZOMBIE, refused(&site, software, ZOMBIE)).unwrap();
        rude(&site, ZOMBIE6, refused(&site, software, ZOMBIE6)).unwrap();
        deliver(&site, CLEAN).unwrap();
        let listed = site.listed().unwrap();
        assert!(!listed.iter().any(|it| it == CLEAN), "{listed:?}");
        until("the accepted mail to be counted", SOON, || {
            let status: Value = serde_json::from_str(&site.status(&["--json"])?)?;
            let accepted = &status["daemon"]["state"]["events"]["accepted"];
            Ok((*accepted == 1).then_some(()))
        })
        .unwrap();
    });
}
