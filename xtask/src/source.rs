//! The source of a crate as tokens: its files without tests, and the paths that
//! each file names.

mod paths;
mod strip;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use proc_macro2::{TokenStream, TokenTree};

/// A module path from the root of its crate, such as `["store", "known"]`;
/// empty for the root itself.
pub type Module = Vec<String>;

/// A source file that is not a test.
#[derive(Debug)]
pub struct File {
    pub path: PathBuf,
    pub module: Module,
    /// The file's module and its inline modules.
    pub scopes: BTreeMap<Module, Scope>,
    /// The types and traits that it defines outside of functions, with their
    /// lines.
    pub types: Vec<(String, usize)>,
    /// Every identifier and keyword, with its line.
    pub words: Vec<(String, usize)>,
    /// The lines that contain code.
    pub lines: BTreeSet<usize>,
}

/// The names in one module.
#[derive(Debug, Default)]
pub struct Scope {
    pub children: BTreeSet<String>,
    /// The paths imported by `use`, by their local name.
    pub imports: BTreeMap<String, Vec<String>>,
    /// Every path of two segments or more, as written, with its line.
    pub paths: Vec<(Vec<String>, usize)>,
}

/// Reads the crate whose root is this file, such as `src/lib.rs`.
///
/// # Errors
///
/// A file is missing or is not Rust.
pub fn read_crate(root: &Path) -> Result<Vec<File>> {
    let mut files = Vec::new();
    let mut waiting = vec![(root.to_owned(), Module::new())];
    while let Some((path, module)) = waiting.pop() {
        let file = read(&path, module)?;
        for (parent, scope) in &file.scopes {
            let inline = |child: &&String| file.scopes.contains_key(&joined(parent, child));
            for child in scope.children.iter().filter(|child| !inline(child)) {
                let module = joined(parent, child);
                waiting.push((child_file(&path, &file.module, &module)?, module));
            }
        }
        files.push(file);
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

/// The path of a module's child.
pub fn joined(module: &[String], child: &str) -> Module {
    let mut path = module.to_vec();
    path.push(child.to_owned());
    path
}

fn read(path: &Path, module: Module) -> Result<File> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(path, module, &text)
}

fn parse(path: &Path, module: Module, text: &str) -> Result<File> {
    let tokens: TokenStream = text
        .parse()
        .map_err(|error| anyhow!("{}: {error}", path.display()))?;
    let tokens = strip::without_tests(tokens);
    let mut file = File {
        path: path.to_owned(),
        module: module.clone(),
        scopes: BTreeMap::new(),
        types: types(&tokens),
        words: Vec::new(),
        lines: BTreeSet::new(),
    };
    survey(&tokens, &mut file);
    paths::collect(tokens, module, &mut file.scopes);
    Ok(file)
}

fn types(tokens: &TokenStream) -> Vec<(String, usize)> {
    let words: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let pairs = words.windows(2).filter_map(|pair| match pair {
        [TokenTree::Ident(keyword), TokenTree::Ident(name)] => Some((keyword.to_string(), name)),
        _ => None,
    });
    pairs
        .filter(|(keyword, _)| ["struct", "enum", "trait", "type"].contains(&keyword.as_str()))
        .map(|(_, name)| (name.to_string(), name.span().start().line))
        .collect()
}

/// Collects the identifiers, and the lines that contain code.
fn survey(tokens: &TokenStream, file: &mut File) {
    for token in tokens.clone() {
        match token {
            TokenTree::Group(group) => {
                file.lines.insert(group.span_open().start().line);
                survey(&group.stream(), file);
                file.lines.insert(group.span_close().end().line);
            }
            token => {
                let span = token.span();
                file.lines.extend(span.start().line..=span.end().line);
                if let TokenTree::Ident(word) = token {
                    file.words.push((word.to_string(), span.start().line));
                }
            }
        }
    }
}

/// Finds the file of `mod child;` in a parent file.
fn child_file(parent: &Path, at: &[String], child: &[String]) -> Result<PathBuf> {
    let stem = parent.file_stem().unwrap_or_default();
    let mut directory = parent.parent().unwrap_or(Path::new("")).to_owned();
    if !["lib", "main", "mod"].iter().any(|name| stem == *name) {
        directory.push(stem);
    }
    directory.extend(&child[at.len()..]);
    let candidates = [directory.with_extension("rs"), directory.join("mod.rs")];
    match candidates.into_iter().find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => bail!(
            "{}: no file for `mod {}`",
            parent.display(),
            child.join("::")
        ),
    }
}
