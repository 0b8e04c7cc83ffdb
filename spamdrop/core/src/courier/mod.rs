//! Courier: its settings, its access table, its own texts, its log lines.

pub mod esmtpd;
pub mod log_line;
pub mod smtpaccess;
pub mod texts;
