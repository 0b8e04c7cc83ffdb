//! The size of the packet filter, and its limits.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// The verifier's measurements of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Instructions that the verifier followed, over all paths.
    pub instructions: u32,
    /// Bytes of stack in the deepest function; the kernel allows 512.
    pub stack: u32,
}

/// The size of the filter on Linux 6.18. Update the numbers when a change of the
/// filter justifies a larger size.
pub const RECORDED: Size = Size {
    instructions: 25_029,
    stack: 256,
};

impl Size {
    /// The maximum size: 20 % more than this one.
    #[must_use]
    pub const fn most(self) -> Self {
        Self {
            instructions: self.instructions * 6 / 5,
            stack: self.stack * 6 / 5,
        }
    }
}

/// Determines the stack use of a loaded program: the lowest address below the
/// frame pointer (r10) in its code. `program_id` is the program's id in the kernel.
///
/// # Errors
///
/// bpftool or the program does not exist.
pub fn stack(program_id: u32) -> Result<u32> {
    let id = program_id.to_string();
    let dump = Command::new("bpftool")
        .args(["prog", "dump", "xlated", "id", &id])
        .output()
        .context("cannot start bpftool")?;
    ensure!(
        dump.status.success(),
        "bpftool: {}",
        String::from_utf8_lossy(&dump.stderr).trim_end()
    );
    Ok(deepest(&String::from_utf8_lossy(&dump.stdout)))
}

/// Finds the lowest stack offset in bpftool's output. It parses `*(u64 *)(r10
/// -8) = r1`, and `r2 = r10` followed by `r2 += -8`.
fn deepest(code: &str) -> u32 {
    let mut deepest = 0;
    let mut copy = None;
    for line in code.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        let depth = |word: &str| word.trim_end_matches(')').strip_prefix('-')?.parse().ok();
        let found = match words[..] {
            [_, _, register, "+=", offset] if copy == Some(register) => depth(offset),
            [_, _, register, "=", "r10"] => {
                copy = Some(register);
                continue;
            }
            _ => words
                .windows(2)
                .find(|pair| pair[0].ends_with("(r10"))
                .and_then(|pair| depth(pair[1])),
        };
        deepest = deepest.max(found.unwrap_or(0));
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direct_and_copied_frame_pointers_count() {
        let code = "int spamdrop(struct xdp_md * ctx):\n\
                    ; let x = 1;\n   \
                    0: (7b) *(u64 *)(r10 -16) = r1\n   \
                    1: (bf) r2 = r10\n   \
                    2: (07) r2 += -40\n   \
                    3: (07) r3 += -400\n   \
                    4: (79) r1 = *(u64 *)(r10 -24)\n";
        assert_eq!(deepest(code), 40);
        assert_eq!(deepest(&code.replace("r2 += -40", "r2 += -4")), 24);
    }
}
