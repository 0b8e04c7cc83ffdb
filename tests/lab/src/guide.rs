//! The README and the guide, parsed for a test: code blocks, and directions to
//! the test in invisible comments.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// A Markdown file.
#[derive(Clone, Debug)]
pub struct Page {
    /// The path in the repository.
    pub path: PathBuf,
    /// The content of the file.
    pub text: String,
}

/// A part of a page that a test uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// `<!-- test: … -->`: a direction to the test.
    Direction(String),
    /// A fenced code block.
    Block {
        /// The text after the fence, such as `console`.
        language: String,
        /// The content of the block.
        text: String,
        /// The line number of the fence, from 1.
        line: usize,
    },
}

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Reads README.md and every page in `spamdrop/docs`, sorted by name.
///
/// # Errors
///
/// A page cannot be read.
pub fn pages() -> Result<Vec<Page>> {
    let docs = root().join("spamdrop/docs");
    let mut paths = vec![PathBuf::from("README.md")];
    for entry in fs::read_dir(&docs).with_context(|| docs.display().to_string())? {
        let name = entry?.file_name();
        if Path::new(&name)
            .extension()
            .is_some_and(|extension| extension == "md")
        {
            paths.push(Path::new("spamdrop/docs").join(name));
        }
    }
    paths.sort();
    paths.into_iter().map(page).collect()
}

fn page(path: PathBuf) -> Result<Page> {
    let text = fs::read_to_string(root().join(&path));
    let text = text.with_context(|| path.display().to_string())?;
    Ok(Page { path, text })
}

impl Page {
    /// Parses the page into its blocks and directions, in their order.
    ///
    /// # Errors
    ///
    /// A block or a direction does not end.
    pub fn parts(&self) -> Result<Vec<Part>> {
        let mut parts = Vec::new();
        let mut lines = self.text.lines().zip(1..);
        while let Some((line, number)) = lines.next() {
            if let Some(language) = line.trim_start().strip_prefix("```") {
                let indent = line.len() - line.trim_start().len();
                let mut text = String::new();
                loop {
                    let Some((line, _)) = lines.next() else {
                        bail!("{}:{number}: the block has no end", self.path.display());
                    };
                    if line.trim_start() == "```" {
                        break;
                    }
                    text += line.get(indent..).unwrap_or_default();
                    text.push('\n');
                }
                let language = language.to_owned();
                parts.push(Part::Block {
                    language,
                    text,
                    line: number,
                });
            } else if let Some(direction) = line.trim().strip_prefix("<!-- test: ") {
                let direction = direction.strip_suffix(" -->");
                let direction = direction.with_context(|| format!("line {number}: no ` -->`"))?;
                parts.push(Part::Direction(direction.into()));
            }
        }
        Ok(parts)
    }

    /// The text of the page without its code blocks.
    #[must_use]
    pub fn prose(&self) -> String {
        let mut inside = false;
        let mut prose = String::new();
        for line in self.text.lines() {
            if line.trim_start().starts_with("```") {
                inside = !inside;
            } else if !inside {
                prose += line;
                prose.push('\n');
            }
        }
        prose
    }
}
