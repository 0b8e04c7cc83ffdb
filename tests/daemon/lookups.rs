//! `status` names the reasons why refused strangers are not looked up.

use spamdrop_lab::dns::Reply;

use super::gate::{LIMIT, SLOTS, crowd, until_strangers_wait};
use super::*;

#[test]
fn a_refusing_blocklist_and_a_spent_day_are_told() {
    let site = site(|_| {});
    let (stub, zones) = blocklist(&site, |_, _| Reply::a([127, 255, 255, 255]));
    // A tenth of the daily look-ups is available at the start: a single one.
    site.configure(&format!(
        "admit = \"on\"\nslots = {SLOTS}\n{zones}\nmax_lookups_per_day = 10"
    ))
    .unwrap();
    let daemon = site.run().unwrap();
    let _clients = crowd(&site, LIMIT);
    until_strangers_wait(&site);
    let refused = "b.example answered 127.255.255.255";
    until_warned(&site, refused);
    let event = format!("[spamdrop::notice::zone-broken] {refused}");
    daemon.wait_for(|line| line.contains(&event), SOON).unwrap();
    // A second stranger finds the look-ups spent.
    site.dropped("100.64.4.1", SILENCE).unwrap();
    until_warned(&site, "`max_lookups_per_day` is spent");
    // The zone refused its test already, so nobody was looked up in it.
    assert_eq!(stub.questions(), 2);
    assert_eq!(daemon.output().matches(refused).count(), 1);
}

fn until_warned(site: &Site, text: &str) {
    until(text, Duration::from_secs(5), || {
        let status = site.status(&["--json"])?;
        let status: Value = serde_json::from_str(&status)?;
        let warnings = status["daemon"]["state"]["warnings"].to_string();
        Ok(warnings.contains(text).then_some(()))
    })
    .unwrap();
}
