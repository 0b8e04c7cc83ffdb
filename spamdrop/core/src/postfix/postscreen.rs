//! postscreen(8): zones with weights, and its access list.

use super::access::{AccessTable, networks, table};
use super::parameters::Parameters;
use super::words;
use crate::dnsbl::rule::Effect;
use crate::server_settings::{Collector, ReadFile};

const SITES: &str = "postscreen_dnsbl_sites";
const ACCESS: &str = "postscreen_access_list";
const ACTION: &str = "postscreen_dnsbl_action";

/// Reads the zones of postscreen, if it rejects by them.
pub(super) fn collect(parameters: &Parameters, read: &ReadFile<'_>, collector: &mut Collector) {
    let sites = match parameters.value(SITES) {
        Ok(sites) => words(&sites),
        Err(part) => return collector.note(SITES, format!("{part} is not understood")),
    };
    if sites.is_empty() || !rejects(parameters, collector) {
        return;
    }
    let threshold = parameters.value("postscreen_dnsbl_threshold");
    let threshold = threshold.ok().and_then(|value| value.trim().parse().ok());
    let Some(threshold) = threshold.filter(|threshold| *threshold > 0) else {
        return collector.note("postscreen_dnsbl_threshold", "is no positive number");
    };
    access_list(parameters, read, collector);
    for site in sites {
        match parse(&site) {
            Some((zone, filter, weight)) => {
                let effect = Effect::Weigh { weight, threshold };
                match filter.map(str::parse).transpose() {
                    Ok(only) => collector.add_zone(SITES, zone, effect, only),
                    Err(why) => not_understood(&site, why, weight, collector),
                }
            }
            None => not_understood(&site, "is not understood", -1, collector),
        }
    }
    collector.end_list();
}

/// Notes a site that is not understood. A site with a negative weight is an allow-list.
/// Without it, more clients seem to be rejected than postscreen rejects, so it is
/// uncertain whether the other sites reject.
fn not_understood(site: &str, why: &str, weight: i32, collector: &mut Collector) {
    let text = format!("{site} {why}");
    match weight < 0 {
        true => collector.doubt(SITES, text),
        false => collector.note(SITES, text),
    }
}

fn rejects(parameters: &Parameters, collector: &mut Collector) -> bool {
    let action = parameters.value(ACTION).unwrap_or_default();
    match action.trim().to_ascii_lowercase().as_str() {
        "enforce" => true,
        "drop" => {
            let text = "is drop: postscreen logs no rejection then, so nobody is blocked; set it \
                        to enforce, or write a pattern for its line \"DNSBL rank\"";
            collector.note(ACTION, text);
            true
        }
        "ignore" => {
            let text = "is ignore, so the zones of postscreen reject nobody; set it to enforce";
            collector.note(ACTION, text);
            false
        }
        other => {
            collector.note(ACTION, format!("{other:?} is not understood"));
            false
        }
    }
}

/// Parses `ZONE[=filter][*weight]`.
fn parse(site: &str) -> Option<(&str, Option<&str>, i32)> {
    let (site, weight) = match site.rsplit_once('*') {
        Some((site, weight)) => (site, weight.parse().ok()?),
        None => (site, 1),
    };
    match site.split_once('=') {
        Some((zone, filter)) => Some((zone, Some(filter), weight)),
        None => Some((site, None, weight)),
    }
}

fn access_list(parameters: &Parameters, read: &ReadFile<'_>, collector: &mut Collector) {
    let list = match parameters.value(ACCESS) {
        Ok(list) => words(&list),
        Err(part) => {
            return collector.doubt(ACCESS, format!("{part} is not understood"));
        }
    };
    for word in list {
        let doubt = match access_table(&word, parameters, read) {
            Ok(table) => {
                collector.add_table(&format!("{ACCESS} {word}"), table.entries);
                let key = table.permits_by;
                key.map(|key| format!("has {key}, which is no address"))
            }
            Err(why) => Some(why),
        };
        if let Some(why) = doubt {
            let text =
                format!("{word}: {why}, so it is uncertain whether the zones of postscreen reject");
            collector.doubt(ACCESS, text);
        }
    }
}

fn access_table(
    word: &str,
    parameters: &Parameters,
    read: &ReadFile<'_>,
) -> Result<AccessTable, String> {
    if word != "permit_mynetworks" {
        // The actions of these tables, such as `permit`, are also actions of access(5).
        return table(word, read);
    }
    let entries = networks(&parameters.value("mynetworks")?, read)?;
    Ok(AccessTable {
        entries,
        permits_by: None,
    })
}
