//! Removes tokens that are not product code: doc comments, and items that are
//! built for tests only.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

pub(super) fn without_tests(tokens: TokenStream) -> TokenStream {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    let mut kept = Vec::new();
    let mut at = 0;
    while at < trees.len() {
        match attribute(&trees, at) {
            // `#![cfg(test)]` applies to everything that follows.
            Some(attribute) if attribute.is_test && attribute.is_inner => break,
            Some(attribute) if attribute.is_test => at = end_of_item(&trees, attribute.end),
            Some(attribute) if attribute.is_doc => at = attribute.end,
            _ => {
                kept.push(cleaned(trees[at].clone()));
                at += 1;
            }
        }
    }
    kept.into_iter().collect()
}

fn cleaned(tree: TokenTree) -> TokenTree {
    let TokenTree::Group(group) = tree else {
        return tree;
    };
    let mut new = Group::new(group.delimiter(), without_tests(group.stream()));
    new.set_span(group.span());
    new.into()
}

struct Attribute {
    is_inner: bool,
    is_doc: bool,
    is_test: bool,
    /// The index after the attribute.
    end: usize,
}

/// Parses the attribute at this index, if there is one.
fn attribute(trees: &[TokenTree], at: usize) -> Option<Attribute> {
    if !is_punct(trees.get(at), '#') {
        return None;
    }
    let is_inner = is_punct(trees.get(at + 1), '!');
    let at = at + 1 + usize::from(is_inner);
    let TokenTree::Group(group) = trees.get(at)? else {
        return None;
    };
    let mut content = group.stream().into_iter();
    let name = content.next()?.to_string();
    let arguments = content.next().map(|tree| tree.to_string());
    Some(Attribute {
        is_inner,
        is_doc: name == "doc",
        is_test: name == "test" || name == "cfg" && arguments.is_some_and(|text| needs_test(&text)),
        end: at + 1,
    })
}

/// Whether a condition such as `(all (test , unix))` is true in tests only.
fn needs_test(condition: &str) -> bool {
    let mut words = condition.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.clone().any(|word| word == "test") && !words.any(|word| word == "not" || word == "any")
}

/// The index after the item, including its other attributes.
fn end_of_item(trees: &[TokenTree], mut at: usize) -> usize {
    while let Some(next) = attribute(trees, at) {
        at = next.end;
    }
    // `use a::{b, c};` and `const A: B = B { … };` do not end at a brace.
    let ends_at_brace = !is_statement(&trees[at..]);
    while let Some(tree) = trees.get(at) {
        at += 1;
        let is_brace =
            matches!(tree, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
        if is_punct(Some(tree), ';') || ends_at_brace && is_brace {
            break;
        }
    }
    at
}

/// Whether the item always ends at a semicolon.
fn is_statement(item: &[TokenTree]) -> bool {
    let mut words = item.iter().filter_map(|tree| match tree {
        TokenTree::Ident(word) => Some(word.to_string()),
        _ => None,
    });
    let first = words.find(|word| word != "pub");
    match first.as_deref() {
        Some("use" | "static" | "type") => true,
        Some("const") => !words
            .next()
            .is_some_and(|word| word == "fn" || word == "unsafe"),
        _ => false,
    }
}

pub(super) fn is_punct(tree: Option<&TokenTree>, wanted: char) -> bool {
    matches!(tree, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}
