//! `config check` on a configuration with a pattern that is refused.

use super::*;

#[test]
fn a_pattern_that_a_sender_could_mislead_is_refused() {
    let home = Home::new("[[pattern]]\nname = \"loose\"\nmatch = '^from .*\\[<HOST>\\]'\n");
    let output = home.run(&["config", "check"]);
    assert_eq!(code(&output), 78);
    let text = stderr(&output);
    assert!(
        text.contains("pattern \"loose\": the place of <HOST>"),
        "{text}"
    );
    assert!(text.contains("\"from [1.1.1.1[9.9.9.9\""), "{text}");
}
