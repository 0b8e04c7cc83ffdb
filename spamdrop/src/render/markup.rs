//! XML and HTML as text. Everything that is written as text or as an attribute
//! is escaped.

use std::fmt::{Arguments, Display, Write as _};

/// An attribute's name and value.
pub type Attribute<'a> = (&'a str, &'a dyn Display);

/// A document under construction, well-formed as XML.
#[derive(Debug, Default)]
pub struct Markup(String);

impl Markup {
    /// Adds text without escaping it. It must be text of the program itself, such as
    /// a style sheet.
    pub fn raw(&mut self, text: &str) {
        self.0.push_str(text);
    }

    /// Adds the start of an element.
    pub fn open(&mut self, name: &str, attributes: &[Attribute<'_>]) {
        self.tag(name, attributes, ">");
    }

    /// Adds the end of an element.
    pub fn close(&mut self, name: &str) {
        self.add(format_args!("</{name}>\n"));
    }

    /// Adds an element without content.
    pub fn empty(&mut self, name: &str, attributes: &[Attribute<'_>]) {
        self.tag(name, attributes, "/>\n");
    }

    /// Adds an element that contains text.
    pub fn add_text(&mut self, name: &str, attributes: &[Attribute<'_>], text: &str) {
        self.open(name, attributes);
        self.push(text);
        self.close(name);
    }

    /// Completes the document.
    #[must_use]
    pub fn finish(self) -> String {
        self.0
    }

    fn tag(&mut self, name: &str, attributes: &[Attribute<'_>], end: &str) {
        self.add(format_args!("<{name}"));
        for (name, value) in attributes {
            self.add(format_args!(" {name}=\""));
            self.push(&value.to_string());
            self.0.push('"');
        }
        self.0.push_str(end);
    }

    fn add(&mut self, text: Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = self.0.write_fmt(text);
    }

    /// Escapes text. Characters that XML does not allow, control characters, and
    /// those that change the direction of what follows become U+FFFD.
    fn push(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' => self.0.push('\n'),
                _ if is_hidden(character) => self.0.push('\u{fffd}'),
                _ => self.0.push(character),
            }
        }
    }
}

/// Whether the character is invisible, but can change how others are shown.
fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{61c}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
                | '\u{fffe}'
                | '\u{ffff}'
        )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn text_is_read_back_as_it_was_written() {
        let text = "a < b & \"c\" > 'd' ]]> <script>alert(1)</script> é 🦀\nline";
        let mut markup = Markup::default();
        markup.open("p", &[("title", &text)]);
        markup.empty("br", &[]);
        markup.add_text("b", &[], text);
        markup.close("p");
        let written = markup.finish();
        assert!(!written.contains("<script"), "{written}");
        let document = roxmltree::Document::parse(&written).unwrap();
        let root = document.root_element();
        // XML makes a space of a line break in an attribute.
        assert_eq!(root.attribute("title"), Some(&*text.replace('\n', " ")));
        let bold = root.children().find(|node| node.has_tag_name("b"));
        assert_eq!(bold.unwrap().text(), Some(text));
    }

    #[test]
    fn characters_that_cannot_be_seen_are_replaced() {
        let hidden = "\0\u{1b}\r\t\u{7f}\u{85}\u{9b}\u{61c}\u{200b}\u{200e}\u{200f}\u{2028}\
                      \u{202a}\u{202e}\u{2066}\u{2069}\u{feff}\u{ffff}";
        for character in hidden.chars() {
            let mut markup = Markup::default();
            markup.add_text("b", &[("id", &character)], &format!("x{character}y"));
            let written = markup.finish();
            let expected = "<b id=\"\u{fffd}\">x\u{fffd}y</b>\n";
            assert_eq!(written, expected, "{character:?}");
        }
    }
}
