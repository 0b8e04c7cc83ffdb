//! `allow check` and `allow list` where the file and the filter differ.

use super::*;

#[test]
fn an_address_that_the_filter_drops_is_not_allowed() {
    let site = attached("");
    site.spamdrop(&["allow", "add", "100.64.0.2"]).unwrap();
    fs::write(site.path("allow"), "100.64.0.1\n100.64.0.2\n").unwrap();
    let said = fails(&site, &["allow", "check", "100.64.0.1"], 1);
    assert_eq!(
        said,
        "spamdrop: the filter does not have 100.64.0.1 yet; `spamdrop reload` applies it, or the daemon's next start\n"
    );
    let output = site.output(&["allow", "check", "--json", "100.64.0.1"], b"");
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let result: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(result["allowed"], false);
    assert_eq!(result["in_filter"], false);
    assert_eq!(result["by"][0]["by"], "file");
    let result = json(&site, &["allow", "check", "--json", "100.64.0.2"]);
    assert_eq!(
        (&result["allowed"], &result["in_filter"]),
        (&true.into(), &true.into())
    );
}

/// Without a daemon, an entry stays in the filter after its end.
#[test]
fn an_entry_that_passes_beyond_its_end_is_listed() {
    let site = attached("");
    let names = ["100.64.0.1", "100.64.0.2"];
    site.spamdrop(&["allow", "add", names[0], names[1]])
        .unwrap();
    let ended = "100.64.0.1 # until=2026-01-01T00:00:00Z\n100.64.0.2\n";
    fs::write(site.path("allow"), ended).unwrap();
    assert!(!site.dropped("100.64.0.1", WAIT).unwrap());
    let list = json(&site, &["allow", "list", "--json"]);
    let by = names.map(|name| {
        let mut items = list.as_array().unwrap().iter();
        items
            .find(|item| item["addr"] == name)
            .map(|item| &item["by"])
    });
    assert_eq!(by, [Some(&"filter".into()), Some(&"file".into())]);
}
