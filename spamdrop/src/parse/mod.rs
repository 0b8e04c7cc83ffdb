//! Log line → event.
