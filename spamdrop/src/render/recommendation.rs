//! The recommendation that follows from a prediction, in two lines.

use std::time::Duration;

use spamdrop_core::duration::human;
use spamdrop_core::engine::Prediction;
use spamdrop_core::gate::ConnectionEnds;

/// The shortest log that tells something about wanted mail.
const A_DAY: Duration = Duration::from_secs(86_400);
/// The shortest log from which a recommendation about the gate follows. It is less
/// than a week, because logs of a week often lack some hours.
const ALMOST_A_WEEK: Duration = Duration::from_secs(6 * 86_400);

/// A sentence about the blocks, and one about the gate.
pub(super) fn recommendation(prediction: &Prediction) -> [String; 2] {
    [blocks(prediction), gate(prediction)]
}

fn blocks(prediction: &Prediction) -> String {
    let accepted = prediction.events.get("accepted").copied();
    let is_outage = !prediction.outages.is_empty() || !prediction.pauses.is_empty();
    let length = length(prediction);
    if is_outage {
        "blocking would have paused, or a blocklist seems to have listed everybody (see above): if one blocklist rejected wanted senders, take it out of the mail server; if it was a wave, raise `max_new_per_minute`; then replay again".into()
    } else if prediction.known_blocked > 0 {
        "known senders would have been blocked: put those that shall never be blocked on the allowlist with `spamdrop allow add`, then replay again".into()
    } else if prediction.blocked == 0 {
        "nothing would have been blocked: check `servers`, `program` and `reject_text`, and the near misses, with `spamdrop scan`".into()
    } else if accepted.unwrap_or_default() == 0 {
        "the log shows no accepted mail, so it cannot tell whether wanted senders would have been blocked, nor whether a blocklist lists everybody: replay a log with accepted mail; `spamdrop config check` shows whether a blocklist lists everybody".into()
    } else if prediction.accepted_while_blocked > 0 {
        "no known sender would have been blocked, so start `spamdrop run`; but first look at the mail that was accepted from blocked addresses, and allow the senders that you want".into()
    } else if length < A_DAY {
        format!(
            "no wanted sender would have been blocked, but {} of log are too short to tell; replay a week, then start `spamdrop run`",
            human(length)
        )
    } else {
        "no wanted sender would have been blocked: start `spamdrop run`".into()
    }
}

fn gate(prediction: &Prediction) -> String {
    let slots = &prediction.slots;
    let observe = "keep `admit = \"observe\"`";
    if slots.connections == 0 {
        return format!(
            "{observe}: the log does not tell how many slots were in use; run the daemon for some days, then see `spamdrop report`"
        );
    }
    if slots.slots.is_none() {
        return format!("set `slots`, and {observe}, to see whether slots run short");
    }
    let told = match slots.ends {
        Some(ConnectionEnds::Assumed) => "as far as the log tells, ",
        _ => "",
    };
    let ([least, ..], length) = (slots.shortages, length(prediction));
    if least.connections == 0 && length < ALMOST_A_WEEK {
        return format!(
            "{observe}: {told}slots did not run short, but {} of log are too short to tell; replay a week",
            human(length)
        );
    }
    if least.connections == 0 {
        return format!(
            "{observe}: {told}slots did not run short, so the gate would have done nothing"
        );
    }
    format!(
        "{observe} for a week: {told}slots ran short for {} connections, {} of them of known senders; then see `spamdrop report` for whether `admit = \"on\"` helps",
        least.connections, least.known
    )
}

/// The time from the first line to the last.
fn length(prediction: &Prediction) -> Duration {
    let ends = prediction.until.zip(prediction.from);
    let length = ends.and_then(|(until, from)| until.duration_since(from).ok());
    length.unwrap_or_default()
}
