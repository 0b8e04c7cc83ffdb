//! Log files → lines.
