//! SVG as text, without scripts or external references.

use std::fmt::{Display, Write as _};

/// An attribute's name and value.
pub type Attribute<'a> = (&'a str, &'a dyn Display);

/// A picture that is being written.
#[derive(Debug)]
pub struct Svg(String);

impl Svg {
    /// An empty picture of this size, with a title for screen readers and a style
    /// sheet.
    #[must_use]
    pub fn new(width: u32, height: u32, title: &str, style: &str) -> Self {
        let mut svg = Self(String::new());
        let size: [Attribute<'_>; 3] = [
            ("xmlns", &"http://www.w3.org/2000/svg"),
            ("viewBox", &format_args!("0 0 {width} {height}")),
            ("role", &"img"),
        ];
        svg.tag("svg", &size, ">\n");
        svg.text("title", &[], title);
        svg.text("style", &[], style);
        svg
    }

    /// Adds an element without content.
    pub fn shape(&mut self, name: &str, attributes: &[Attribute<'_>]) {
        self.tag(name, attributes, "/>\n");
    }

    /// Adds an element with a text in it.
    pub fn text(&mut self, name: &str, attributes: &[Attribute<'_>], text: &str) {
        self.tag(name, attributes, ">");
        self.push(text);
        self.add(format_args!("</{name}>\n"));
    }

    /// The whole picture.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
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

    fn add(&mut self, what: std::fmt::Arguments<'_>) {
        // Writing to a String does not fail.
        let _ = self.0.write_fmt(what);
    }

    /// Escapes text. Characters that XML does not allow become U+FFFD.
    fn push(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'.. => {
                    self.0.push(character);
                }
                _ => self.0.push('\u{fffd}'),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may panic")]
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let nasty = "a < b & \"c\" > 'd'\u{0}\u{1b}]]>\u{ffff} é 🦀";
        let mut svg = Svg::new(10, 20, nasty, "text{fill:red}");
        svg.shape("rect", &[("x", &1.5), ("class", &nasty)]);
        let text = svg.finish();
        let document = roxmltree::Document::parse(&text).unwrap();
        let find = |name| document.descendants().find(|node| node.has_tag_name(name));
        let expected = "a < b & \"c\" > 'd'\u{fffd}\u{fffd}]]>\u{fffd} é 🦀";
        let svg = "http://www.w3.org/2000/svg";
        assert_eq!(find((svg, "title")).unwrap().text(), Some(expected));
        let rect = find((svg, "rect")).unwrap();
        assert_eq!(rect.attribute("class"), Some(expected));
        assert_eq!(rect.attribute("x"), Some("1.5"));
        assert_eq!(
            document.root_element().attribute("viewBox"),
            Some("0 0 10 20")
        );
    }
}
