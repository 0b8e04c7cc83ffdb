//! Counts passed and failed tests, and keeps what failed.

use anyhow::Result;

use crate::say;

/// Numbers of tests and checks that passed and failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Tests and checks that passed.
    pub passed: u32,
    /// Tests and checks that failed, and tests that did not run.
    pub failed: u32,
    /// Names of failed tests, and errors of failed checks. They are repeated at the
    /// end of a run, because their output may be thousands of lines above.
    pub failures: Vec<String>,
}

impl Tally {
    /// A single failure.
    pub const FAILED: Self = Self {
        passed: 0,
        failed: 1,
        failures: Vec::new(),
    };

    /// Counts one check. A failure is printed and does not end the run.
    pub fn check(&mut self, outcome: Result<()>) {
        match outcome {
            Ok(()) => self.passed += 1,
            Err(error) => {
                let error = format!("{error:#}");
                say(&error);
                self.failed += 1;
                self.failures.push(error);
            }
        }
    }

    /// Counts the tests of a line such as `test result: ok. 3 passed; 0 failed;
    /// 0 ignored; …`, and keeps the name of `test a::b ... FAILED`; other lines
    /// are skipped. An ignored test checks nothing, so it counts as failed.
    pub fn read(&mut self, line: &str) {
        let failure = line.strip_prefix("test ");
        if let Some(name) = failure.and_then(|it| it.strip_suffix(" ... FAILED")) {
            self.failures.push(name.to_owned());
        }
        let words: Vec<_> = line.split_whitespace().collect();
        let [
            "test",
            "result:",
            _,
            passed,
            "passed;",
            failed,
            "failed;",
            ignored,
            "ignored;",
            ..,
        ] = words[..]
        else {
            return;
        };
        let number = |word: &str| -> u32 { word.parse().unwrap_or(0) };
        if number(ignored) > 0 {
            say(&format!("{ignored} ignored tests count as failed"));
        }
        self.passed += number(passed);
        self.failed += number(failed) + number(ignored);
    }

    /// Adds the counts of another tally.
    pub fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.failures.extend(other.failures);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_libtest_counts() {
        let mut tally = Tally::default();
        tally.read("running 12 tests");
        tally.read("test gate::one ... ok");
        tally.read("test gate::two ... FAILED");
        tally.read("test result: ok. 7 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s");
        tally.read("test result: FAILED. 2 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s");
        assert_eq!(
            tally,
            Tally {
                passed: 9,
                failed: 4,
                failures: vec!["gate::two".into()],
            }
        );
    }
}
