//! Courier: its settings, access table, reply texts and log lines.

pub mod esmtpd;
pub mod log_line;
pub mod smtpaccess;
pub mod texts;
