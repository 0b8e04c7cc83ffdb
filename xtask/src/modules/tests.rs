#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs;

use tempfile::TempDir;

use super::*;

const LAYERS: [Crate; 2] = [
    Crate {
        name: "low",
        root: "",
        layers: &[&["ground"], &["floor", "wall"], &["roof"]],
    },
    Crate {
        name: "high",
        root: "",
        layers: &[&["sky"]],
    },
];

/// Writes the files and builds the graph of the crates `low` and `high`; `high`
/// may use `low`.
fn house(files: &[(&str, &str)]) -> (TempDir, Graph) {
    let root = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = root.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let mut graph = Graph::default();
    for name in ["low", "high"] {
        let path = root.path().join(name).join("lib.rs");
        if path.exists() {
            graph.add(name, &path).unwrap();
        }
    }
    (root, graph)
}

/// Returns the breaches that [`verdict`] finds in a crate `low` with these
/// modules. Paths are relative to the crate's directory.
fn breaches(files: &[(&str, &str)]) -> String {
    let modules = ["ground", "floor", "wall", "roof"];
    let mut all: Vec<(String, &str)> = vec![(
        "low/lib.rs".into(),
        "mod ground; mod floor; mod wall; mod roof;",
    )];
    for module in modules {
        let path = format!("{module}.rs");
        let text = files.iter().find(|(name, _)| *name == path);
        all.push((format!("low/{path}"), text.map_or("", |(_, text)| text)));
    }
    let others = files.iter().filter(|(name, _)| name.contains('/'));
    all.extend(others.map(|(name, text)| (format!("low/{name}"), *text)));
    let all: Vec<(&str, &str)> = all
        .iter()
        .map(|(path, text)| (path.as_str(), *text))
        .collect();
    let (root, graph) = house(&all);
    let text = verdict(&graph, &LAYERS).map_or_else(|error| error.to_string(), |()| String::new());
    text.replace(&format!("{}/low/", root.path().display()), "")
}

#[test]
fn what_names_only_what_is_below_or_beside_is_right() {
    let files = [
        (
            "roof.rs",
            "use crate::floor::F; fn f() { crate::ground::g() }",
        ),
        ("floor.rs", "use super::{ground, wall::W};"),
    ];
    assert_eq!(breaches(&files), "");
}

#[test]
fn an_arrow_upwards_is_found() {
    let expected = "modules:\nfloor.rs:2: low::floor names the higher low::roof";
    for text in [
        "\nuse crate::roof::R;",
        "\nuse super::roof;",
        "\nuse crate::{ground::G, roof::{R, S}};",
        "\nfn f(r: &crate::roof::R) {}",
        "\nfn f() { say!(\"{}\", super::roof::R) }",
        "mod inner { fn f() {\nsuper::super::roof::r() } }",
    ] {
        assert_eq!(breaches(&[("floor.rs", text)]), expected, "{text}");
    }
    let test = "#[cfg(test)] mod tests { use crate::roof::R; }";
    assert_eq!(breaches(&[("floor.rs", test)]), "");
}

#[test]
fn a_circle_is_found() {
    let files = [
        ("floor.rs", "use crate::wall::W;"),
        ("wall.rs", "use crate::floor::F;"),
    ];
    let expected = "modules:\nthese modules name each other:\n  \
                    floor.rs:1: low::floor → low::wall\n  wall.rs:1: low::wall → low::floor";
    assert_eq!(breaches(&files), expected);
}

#[test]
fn a_circle_of_files_is_found_also_through_what_they_share() {
    let expected = "modules:\nthese files name each other:\n  \
                    floor/a.rs:1: floor/b.rs\n  floor/b.rs:1: floor/a.rs";
    let a = ("floor/a.rs", "use super::b::B; pub struct A;");
    for (floor, b) in [
        ("mod a; mod b;", "use super::a::A; pub struct B;"),
        ("mod a; mod b; pub use a::A;", "use super::A; pub struct B;"),
        (
            "mod a; mod b; pub use a::A;",
            "use crate::floor::A; pub struct B;",
        ),
    ] {
        let files = [("floor.rs", floor), a, ("floor/b.rs", b)];
        assert_eq!(breaches(&files), expected, "{floor}");
    }
    let files = [
        ("floor.rs", "mod a; fn f() { a::g() }"),
        ("floor/a.rs", "use super::f;"),
    ];
    assert_eq!(breaches(&files), "");
}

#[test]
fn a_type_name_is_unique_in_all_crates() {
    let (root, graph) = house(&[
        ("low/lib.rs", "mod ground;"),
        ("low/ground.rs", "struct Same;\nstruct Other;"),
        ("high/lib.rs", "mod sky;"),
        ("high/sky.rs", "\nenum Same {}\nfn f() { struct Other; }"),
    ]);
    let found = repeated_types(&graph).join("\n");
    let found = found.replace(&format!("{}/", root.path().display()), "");
    assert_eq!(found, "Same: low/ground.rs:1 high/sky.rs:2");
}

#[test]
fn a_lower_crate_names_no_higher_one_and_every_module_has_a_layer() {
    let (_root, graph) = house(&[
        ("low/lib.rs", "mod ground;"),
        ("low/ground.rs", ""),
        ("high/lib.rs", "mod sky; mod cloud;"),
        ("high/sky.rs", "use low::ground::G;"),
        ("high/cloud.rs", ""),
    ]);
    let error = verdict(&graph, &LAYERS).unwrap_err().to_string();
    assert!(
        error.starts_with("modules:\nhigh::cloud is in no layer"),
        "{error}"
    );
    assert_eq!(error.lines().count(), 2, "{error}");
    let shown = layers_of(&graph, &LAYERS);
    assert_eq!(
        shown,
        "high\n   1 sky          low::ground\n   ? cloud\nlow\n   1 ground\n"
    );
    let upside_down = [&LAYERS[1], &LAYERS[0]].map(|krate| Crate { ..*krate });
    let error = verdict(&graph, &upside_down).unwrap_err().to_string();
    assert!(
        error.contains("high::sky names the higher low::ground"),
        "{error}"
    );
}
