//! Collects the paths that a module names, in `use` and elsewhere.

use std::collections::BTreeMap;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

use super::strip::is_punct;
use super::{Module, Scope, joined};

/// Collects the paths of a module and of its inline modules.
pub(super) fn collect(tokens: TokenStream, module: Module, scopes: &mut BTreeMap<Module, Scope>) {
    let mut scope = Scope::default();
    let mut inline = Vec::new();
    walk(tokens, &mut scope, &mut inline);
    for (name, content) in inline {
        collect(content, joined(&module, &name), scopes);
    }
    scopes.insert(module, scope);
}

fn walk(tokens: TokenStream, scope: &mut Scope, inline: &mut Vec<(String, TokenStream)>) {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    let mut at = 0;
    while at < trees.len() {
        match &trees[at] {
            TokenTree::Ident(word) if word == "use" => at = read_use(&trees, at + 1, scope),
            TokenTree::Ident(word) if word == "mod" => {
                at = read_mod(&trees, at + 1, scope, inline);
            }
            TokenTree::Ident(_) => at = read_path(&trees, at, scope),
            TokenTree::Group(group) => {
                walk(group.stream(), scope, inline);
                at += 1;
            }
            _ => at += 1,
        }
    }
}

fn read_mod(
    trees: &[TokenTree],
    at: usize,
    scope: &mut Scope,
    inline: &mut Vec<(String, TokenStream)>,
) -> usize {
    let Some(TokenTree::Ident(name)) = trees.get(at) else {
        return at;
    };
    match trees.get(at + 1) {
        Some(TokenTree::Group(group)) => inline.push((name.to_string(), group.stream())),
        end if is_punct(end, ';') => {}
        _ => return at,
    }
    scope.children.insert(name.to_string());
    at + 2
}

/// Reads a path outside of `use`. A segment after `::` continues the path
/// before it, so it starts no path of its own.
fn read_path(trees: &[TokenTree], mut at: usize, scope: &mut Scope) -> usize {
    let line = trees[at].span().start().line;
    let is_start =
        at == 0 || !is_punct(trees.get(at - 1), ':') || !is_separator(trees, at.wrapping_sub(2));
    let mut path = Vec::new();
    while let Some(TokenTree::Ident(word)) = trees.get(at) {
        path.push(word.to_string());
        at += 1;
        if !is_separator(trees, at) || !matches!(trees.get(at + 2), Some(TokenTree::Ident(_))) {
            break;
        }
        at += 2;
    }
    if is_start && path.len() > 1 {
        scope.paths.push((path, line));
    }
    at
}

fn is_separator(trees: &[TokenTree], at: usize) -> bool {
    is_punct(trees.get(at), ':') && is_punct(trees.get(at + 1), ':')
}

/// Reads a `use` up to its semicolon. A `use<'a>` in a type contains no path.
fn read_use(trees: &[TokenTree], at: usize, scope: &mut Scope) -> usize {
    let is_end = |tree: &TokenTree| is_punct(Some(tree), ';');
    if is_punct(trees.get(at), '<') {
        return at;
    }
    let end = trees[at..].iter().position(is_end);
    let end = end.map_or(trees.len(), |length| at + length);
    read_tree(&trees[at..end], &[], scope);
    end
}

/// Reads one tree of a `use`: `a::b`, `a::b as c`, `a::*`, `a::{b, c}`.
fn read_tree(trees: &[TokenTree], prefix: &[String], scope: &mut Scope) {
    let mut path = prefix.to_vec();
    let mut alias = None;
    let mut words = trees.iter().peekable();
    while let Some(tree) = words.next() {
        match tree {
            TokenTree::Ident(word) if word == "as" => {
                alias = words.next().map(|name| name.to_string());
            }
            TokenTree::Ident(word) => path.push(word.to_string()),
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let items: Vec<TokenTree> = group.stream().into_iter().collect();
                for item in items.split(|tree| is_punct(Some(tree), ',')) {
                    if !item.is_empty() {
                        read_tree(item, &path, scope);
                    }
                }
                return;
            }
            _ => {}
        }
    }
    let line = trees.first().map_or(0, |tree| tree.span().start().line);
    // `use a::b::{self}` names `a::b`.
    if path.len() > 1 && path.last().is_some_and(|last| last == "self") {
        path.pop();
    }
    let is_glob = is_punct(trees.last(), '*');
    if let Some(name) = alias.or_else(|| path.last().cloned())
        && !is_glob
    {
        scope.imports.insert(name, path.clone());
    }
    scope.paths.push((path, line));
}
