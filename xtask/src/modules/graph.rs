//! Determines the references between files, by following paths through `use`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use crate::source::{File, Module, Scope, joined, read_crate};

/// Maximum number of `use` items that a path is followed through.
const DEPTH: usize = 16;

/// The files of several crates, and the references between them.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// Each file with its crate.
    pub files: Vec<(String, File)>,
    pub arrows: Vec<Arrow>,
    /// The index of the file that contains a crate's module.
    owners: BTreeMap<(String, Module), usize>,
}

/// A reference: one file names an item of another.
#[derive(Debug)]
pub(super) struct Arrow {
    pub from: usize,
    pub to: usize,
    pub line: usize,
}

impl Graph {
    /// Adds a crate. The crates that it names must have been added before.
    pub(super) fn add(&mut self, name: &str, root: &Path) -> Result<()> {
        self.add_files(name, read_crate(root)?);
        Ok(())
    }

    pub(super) fn add_files(&mut self, name: &str, files: Vec<File>) {
        let first = self.files.len();
        for file in files {
            for module in file.scopes.keys() {
                let key = (name.to_owned(), module.clone());
                self.owners.insert(key, self.files.len());
            }
            self.files.push((name.to_owned(), file));
        }
        for from in first..self.files.len() {
            let arrows = self.arrows_of(name, from);
            self.arrows.extend(arrows);
        }
    }

    /// The location of a reference, as `path:line`.
    pub(super) fn place(&self, arrow: &Arrow) -> String {
        let path = self.files[arrow.from].1.path.display();
        format!("{path}:{}", arrow.line)
    }

    fn arrows_of(&self, name: &str, from: usize) -> Vec<Arrow> {
        let mut arrows = Vec::new();
        for (module, scope) in &self.files[from].1.scopes {
            for (path, line) in &scope.paths {
                let to = self.resolve(name, module, path, DEPTH);
                arrows.extend(to.filter(|to| *to != from).map(|to| Arrow {
                    from,
                    to,
                    line: *line,
                }));
            }
        }
        arrows
    }

    /// Finds the file that contains the target of a path in a module; `None` if
    /// the target is outside of these crates.
    fn resolve(
        &self,
        name: &str,
        module: &[String],
        path: &[String],
        depth: usize,
    ) -> Option<usize> {
        let (name, module, rest) = self.start(name, module, path)?;
        self.follow(&name, module, rest, depth)
    }

    /// Resolves the path's first segments to a crate and module. Returns them
    /// with the remaining segments.
    fn start<'p>(
        &self,
        name: &str,
        module: &[String],
        path: &'p [String],
    ) -> Option<(String, Module, &'p [String])> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some((name.into(), Module::new(), rest)),
            "self" => Some((name.into(), module.into(), rest)),
            "super" => {
                let (_, parent) = module.split_last()?;
                match rest.first() {
                    Some(next) if next == "super" => self.start(name, parent, rest),
                    _ => Some((name.into(), parent.into(), rest)),
                }
            }
            other if self.owner(other, &[]).is_some() && other != name => {
                Some((other.into(), Module::new(), rest))
            }
            _ => Some((name.into(), module.into(), path)),
        }
    }

    /// Follows the path through modules and imports. Returns the file of the
    /// last module on it.
    fn follow(
        &self,
        name: &str,
        mut module: Module,
        path: &[String],
        depth: usize,
    ) -> Option<usize> {
        for (at, segment) in path.iter().enumerate() {
            let child = joined(&module, segment);
            if self.owner(name, &child).is_some() {
                module = child;
                continue;
            }
            let import = self.scope(name, &module)?.imports.get(segment);
            if let Some(import) = import.filter(|_| depth > 0) {
                let whole = [import.as_slice(), &path[at + 1..]].concat();
                return self.resolve(name, &module, &whole, depth - 1);
            }
            break;
        }
        self.owner(name, &module)
    }

    fn scope(&self, name: &str, module: &[String]) -> Option<&Scope> {
        self.files[self.owner(name, module)?].1.scopes.get(module)
    }

    fn owner(&self, name: &str, module: &[String]) -> Option<usize> {
        let key = (name.to_owned(), module.to_vec());
        self.owners.get(&key).copied()
    }
}
