//! (event, now, state) → decision.
