//! The daemon uses the settings of Postfix that root has read.

use std::fs;

use super::*;

/// Writes the file that `spamdrop settings --write` would write, with this number of
/// slots. The `main.cf` that it names is a file of the test.
fn write(site: &Site, slots: u32) {
    let main = site.path("main.cf");
    let modified = match fs::metadata(&main) {
        Ok(found) => std::os::unix::fs::MetadataExt::mtime(&found).to_string(),
        Err(_) => "null".into(),
    };
    let read = jiff::Timestamp::now().as_second() - 7200;
    let text = format!(
        r#"{{"version":1,"read_unix_s":{read},"servers":[{{"server":"postfix",
        "files":[{{"path":{main:?},"modified_unix_s":{modified}}}],
        "slots":{{"known":{{"count":{slots},"setting":"maxproc"}}}},
        "auth":"absent","rules":[],"tables":[],"notes":[]}}]}}"#
    );
    let run_dir = site.path("run");
    fs::create_dir_all(&run_dir).unwrap();
    fs::write(run_dir.join("server.json"), text).unwrap();
}

#[test]
fn slots_come_from_the_file_until_the_servers_files_change() {
    let site = site(|_| {});
    let run_dir = site.path("run");
    // `configure` adds no setting `slots` if its text has this word, as in the comment.
    site.configure(&format!(
        "run_dir = {run_dir:?}\nadmit = \"observe\"\nservers = [\"postfix\", \"courier\"] # slots"
    ))
    .unwrap();
    fs::write(site.path("main.cf"), "").unwrap();
    write(&site, 12);
    let mut daemon = site.run().unwrap();
    until_status(&site, "/daemon/state/gate/slots", 12);
    let text = site.status(&[]).unwrap();
    assert!(text.contains("  settings of postfix: read 2h"), "{text}");
    assert!(!text.contains("was changed after"), "{text}");

    fs::remove_file(site.path("main.cf")).unwrap();
    until("a warning", SOON, || {
        let is_named = site.status(&[])?.contains("main.cf was changed after");
        Ok(is_named.then_some(()))
    })
    .unwrap();

    // Root has read the settings again.
    write(&site, 13);
    daemon.signal(Signal::SIGHUP).unwrap();
    until_status(&site, "/daemon/state/gate/slots", 13);
    until("no warning", SOON, || {
        let is_named = site.status(&[])?.contains("main.cf was changed after");
        Ok((!is_named).then_some(()))
    })
    .unwrap();
}
