//! `cargo xtask modules`: checks that data flows one way. The modules of the
//! product are in layers. No module may name a module of a higher layer, and no
//! two modules may name each other.
//!
//! `cargo xtask types`: checks that no two types have the same name.

mod circles;
mod graph;
mod layers;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Result, ensure};

use graph::{Arrow, Graph};
use layers::{CRATES, Crate};

/// Prints the layers.
///
/// # Errors
///
/// A file is missing or is not Rust.
pub fn show() -> Result<()> {
    let graph = read()?;
    print!("{}", layers_of(&graph, &CRATES));
    println!(
        "{} modules, {} references between them",
        modules(&graph).len(),
        arrows(&graph).len()
    );
    Ok(())
}

/// The layouts of an old version, whose types are named with their module: `v1::Entry`.
const OLD_LAYOUTS: &str = "spamdrop/src/kernel/blocklist/migrate/v1/layout.rs";

/// Checks that every type name is defined only once.
///
/// # Errors
///
/// The error has one line for each name that is defined more than once, with
/// its files and lines.
pub fn types() -> Result<()> {
    let repeated = repeated_types(&read()?);
    ensure!(
        repeated.is_empty(),
        "{} type names are defined more than once:\n{}",
        repeated.len(),
        repeated.join("\n")
    );
    Ok(())
}

fn repeated_types(graph: &Graph) -> Vec<String> {
    let mut places: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let files = graph.files.iter().map(|(_, file)| file);
    for file in files.filter(|file| file.path != Path::new(OLD_LAYOUTS)) {
        for (name, line) in &file.types {
            let place = format!("{}:{line}", file.path.display());
            places.entry(name).or_default().push(place);
        }
    }
    let repeated = places.iter().filter(|(_, places)| places.len() > 1);
    repeated
        .map(|(name, places)| format!("{name}: {}", places.join(" ")))
        .collect()
}

/// Checks for cycles and for references to a higher layer.
///
/// # Errors
///
/// The error has one line for each defect, with its file and line.
pub fn check() -> Result<()> {
    verdict(&read()?, &CRATES)
}

fn read() -> Result<Graph> {
    let mut graph = Graph::default();
    for Crate { name, root, .. } in CRATES {
        graph.add(name, Path::new(root))?;
    }
    Ok(graph)
}

fn verdict(graph: &Graph, crates: &[Crate]) -> Result<()> {
    let mut breaches = unranked(graph, crates);
    breaches.extend(upwards(graph, crates));
    breaches.extend(circles_of_modules(graph));
    breaches.extend(circles_of_files(graph));
    ensure!(breaches.is_empty(), "modules:\n{}", breaches.join("\n"));
    Ok(())
}

/// A crate and its top-level module; an empty name stands for the root.
type Node = (String, String);

fn node(graph: &Graph, file: usize) -> Node {
    let (owner, file) = &graph.files[file];
    let module = file.module.first().cloned();
    (owner.clone(), module.unwrap_or_default())
}

fn modules(graph: &Graph) -> BTreeSet<Node> {
    let all = (0..graph.files.len()).map(|file| node(graph, file));
    all.filter(|(_, module)| !module.is_empty()).collect()
}

/// The first reference from each module to each other one. References from a
/// crate's root are ignored: it only declares the modules.
fn arrows(graph: &Graph) -> BTreeMap<(Node, Node), &Arrow> {
    let mut found = BTreeMap::new();
    for arrow in &graph.arrows {
        let (from, to) = (node(graph, arrow.from), node(graph, arrow.to));
        if from != to && !from.1.is_empty() {
            found.entry((from, to)).or_insert(arrow);
        }
    }
    found
}

/// Rank of a module by its crate, then by its layer. A higher rank is further
/// from the kernel.
fn rank(crates: &[Crate], (owner, module): &Node) -> Option<(usize, usize)> {
    let place = crates.iter().position(|krate| krate.name == owner)?;
    if module.is_empty() {
        return Some((place, 0));
    }
    let mut layers = crates[place].layers.iter();
    let layer = layers.position(|layer| layer.contains(&module.as_str()))?;
    Some((place, layer))
}

fn unranked(graph: &Graph, crates: &[Crate]) -> Vec<String> {
    let unranked = modules(graph).into_iter();
    unranked
        .filter(|node| rank(crates, node).is_none())
        .map(|node| {
            format!(
                "{} is in no layer; give it one in xtask/src/modules/layers.rs",
                name(&node)
            )
        })
        .collect()
}

fn upwards(graph: &Graph, crates: &[Crate]) -> Vec<String> {
    let all = arrows(graph).into_iter();
    let upwards = all.filter(|((from, to), _)| rank(crates, to) > rank(crates, from));
    upwards
        .map(|((from, to), arrow)| {
            let place = graph.place(arrow);
            format!("{place}: {} names the higher {}", name(&from), name(&to))
        })
        .collect()
}

fn circles_of_modules(graph: &Graph) -> Vec<String> {
    let arrows = arrows(graph);
    let all: Vec<Node> = modules(graph).into_iter().collect();
    let index = |node: &Node| all.binary_search(node).ok();
    let pairs = arrows
        .keys()
        .filter_map(|(a, b)| Some((index(a)?, index(b)?)));
    let circles = circles::find(all.len(), pairs);
    circles
        .into_iter()
        .map(|circle| {
            let mut text = "these modules name each other:".to_owned();
            for ((from, to), arrow) in &arrows {
                let is_part = |node| index(node).is_some_and(|index| circle.contains(&index));
                if is_part(from) && is_part(to) {
                    let place = graph.place(arrow);
                    let _ = write!(text, "\n  {place}: {} → {}", name(from), name(to));
                }
            }
            text
        })
        .collect()
}

/// Finds cycles among the files of a module. References between a file and its
/// child modules are ignored, because they may share items.
fn circles_of_files(graph: &Graph) -> Vec<String> {
    let is_beside = |arrow: &&Arrow| {
        let [from, to] = [arrow.from, arrow.to].map(|file| &graph.files[file]);
        let (a, b) = (&from.1.module, &to.1.module);
        from.0 == to.0 && !a.starts_with(b) && !b.starts_with(a) && a.first() == b.first()
    };
    let beside: Vec<&Arrow> = graph.arrows.iter().filter(is_beside).collect();
    let pairs = beside.iter().map(|arrow| (arrow.from, arrow.to));
    let circles = circles::find(graph.files.len(), pairs);
    circles
        .into_iter()
        .map(|circle| {
            let mut text = "these files name each other:".to_owned();
            let mut told = BTreeSet::new();
            for arrow in &beside {
                let Arrow { from, to, .. } = arrow;
                if circle.contains(from) && circle.contains(to) && told.insert((from, to)) {
                    let to = graph.files[*to].1.path.display();
                    let _ = write!(text, "\n  {}: {to}", graph.place(arrow));
                }
            }
            text
        })
        .collect()
}

fn name((owner, module): &Node) -> String {
    if module.is_empty() {
        owner.clone()
    } else {
        format!("{owner}::{module}")
    }
}

/// Lists the modules with the numbers of their layers, highest first, and the
/// modules that each names.
fn layers_of(graph: &Graph, crates: &[Crate]) -> String {
    let arrows = arrows(graph);
    let mut text = String::new();
    for krate in crates.iter().rev() {
        let _ = writeln!(text, "{}", krate.name);
        let there = modules(graph)
            .into_iter()
            .filter(|(name, _)| name == krate.name);
        let mut there: Vec<_> = there.map(|node| (rank(crates, &node), node)).collect();
        there.sort_by(|(a, x), (b, y)| b.cmp(a).then_with(|| x.cmp(y)));
        for (rank, node) in there {
            let layer = rank.map_or("?".into(), |(_, layer)| (layer + 1).to_string());
            let below = arrows.keys().filter(|(from, _)| *from == node);
            let below: Vec<String> = below.map(|(_, to)| short(&node, to)).collect();
            let line = format!("{layer:>4} {:<12} {}", node.1, below.join(" "));
            let _ = writeln!(text, "{}", line.trim_end());
        }
    }
    text
}

/// The module's name, with its crate only if that differs.
fn short(from: &Node, to: &Node) -> String {
    if from.0 == to.0 {
        to.1.clone()
    } else {
        name(to)
    }
}
