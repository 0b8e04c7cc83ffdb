#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn file(text: &str) -> File {
    parse(Path::new("a.rs"), vec!["a".into()], text).unwrap()
}

fn paths(text: &str) -> Vec<String> {
    let file = file(text);
    let scopes = file.scopes.values();
    scopes
        .flat_map(|scope| scope.paths.iter().map(|(path, _)| path.join("::")))
        .collect()
}

#[test]
fn every_kind_of_use_is_read() {
    let text = "use crate::a::{self, b::{C, D as E}, f::*};\npub(crate) use super::g;";
    let expected = [
        "crate::a",
        "crate::a::b::C",
        "crate::a::b::D",
        "crate::a::f",
        "super::g",
    ];
    assert_eq!(paths(text), expected);
    let file = file(text);
    let imports = file.scopes[&vec!["a".to_owned()]].imports.keys();
    assert_eq!(imports.collect::<Vec<_>>(), ["C", "E", "a", "g"]);
}

#[test]
fn paths_elsewhere_are_read_also_in_macros() {
    let text =
        "fn f(x: crate::a::B<super::C>) -> Vec<u8> { say!(\"{}\", crate::d::e()); g::<h::I>::j() }";
    assert_eq!(
        paths(text),
        ["crate::a::B", "super::C", "crate::d::e", "h::I"]
    );
}

#[test]
fn comments_strings_and_tests_count_for_nothing() {
    let text = r#"
//! See [`crate::a::b`].

/// As `crate::c::d`.
fn f() -> &'static str {
    // use crate::e::f;
    "crate::g::h"
}

#[cfg(test)]
use crate::i::{j, k};

#[cfg(test)]
#[derive(Debug)]
struct Fixture {
    field: crate::l::M,
}

#[cfg(test)]
mod tests;

#[cfg(not(test))]
const A: crate::n::O = 1;
"#;
    assert_eq!(paths(text), ["crate::n::O"]);
    let file = file(text);
    assert_eq!(file.lines, [5, 7, 8, 22, 23].into());
    assert!(file.scopes[&file.module].children.is_empty());
    assert!(!file.words.iter().any(|(word, _)| word == "Fixture"));
}

#[test]
fn inline_modules_are_scopes_of_their_own() {
    let file = file("mod b { use super::C; mod d { fn e() { f::g() } } }\nmod h;");
    let modules: Vec<String> = file.scopes.keys().map(|path| path.join("::")).collect();
    assert_eq!(modules, ["a", "a::b", "a::b::d"]);
    assert_eq!(
        file.scopes[&file.module].children,
        ["b", "h"].map(String::from).into()
    );
}

#[test]
fn types_of_impls_and_functions_are_not_those_of_the_module() {
    let text =
        "pub struct A<T>(T);\nimpl B for A { type C = u8; }\nfn d() { enum E {} }\ntype F = A<u8>;";
    let expected = [("A", 1), ("F", 4)].map(|(name, line)| (name.to_owned(), line));
    assert_eq!(file(text).types, expected);
}

#[test]
fn a_crate_is_read_from_its_root() {
    let root = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("lib.rs", "pub mod a; mod b;");
    write("a.rs", "mod c; #[cfg(test)] mod tests;");
    write("a/c.rs", "");
    write("a/tests.rs", "");
    write("b/mod.rs", "mod d;");
    write("b/d.rs", "");
    write("nobodys.rs", "");
    let files = read_crate(&root.path().join("lib.rs")).unwrap();
    let found: Vec<_> = files
        .iter()
        .map(|file| file.path.strip_prefix(&root).unwrap().to_str().unwrap())
        .collect();
    assert_eq!(found, ["a/c.rs", "a.rs", "b/d.rs", "b/mod.rs", "lib.rs"]);
    write("b/mod.rs", "mod missing;");
    let error = read_crate(&root.path().join("lib.rs")).unwrap_err();
    assert!(
        error.to_string().ends_with("no file for `mod b::missing`"),
        "{error}"
    );
}
