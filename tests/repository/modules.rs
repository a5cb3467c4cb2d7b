//! No module depends on itself through others: neither file by file, nor by the modules at the top of a crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The path of a module below its crate.
type Module = Vec<String>;
type Graph = BTreeMap<Module, BTreeSet<Module>>;

/// The files of a crate by module; `lib.rs` is the crate itself.
fn modules(src: &Path) -> BTreeMap<Module, String> {
    fn walk(folder: &Path, above: &Module, found: &mut BTreeMap<Module, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            let below = |name: &str| [above.as_slice(), &[name.to_owned()]].concat();
            if path.is_dir() {
                walk(&path, &below(&name), found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let module = match name.as_str() {
                    "mod" | "lib" => above.clone(),
                    "main" if folder.join("lib.rs").exists() => continue,
                    "main" => above.clone(),
                    name => below(name),
                };
                found.insert(module, code(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(src, &Vec::new(), &mut found);
    found
}

/// The text of a file without tests and comments.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().map(|line| line.split("//").next().unwrap_or_default().to_owned() + "\n").collect()
}

/// The paths of a tree such as `a::{b, c::{d, e}}`.
fn expand(tree: &str) -> Vec<String> {
    let Some((before, rest)) = tree.split_once('{') else {
        let path = tree.split(" as ").next().unwrap_or_default();
        return vec![path.trim().to_owned()];
    };
    let inside = rest.rsplit_once('}').map_or(rest, |(inside, _)| inside);
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in inside.chars() {
        match c {
            ',' if depth == 0 => parts.push(String::new()),
            c => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                parts.last_mut().unwrap().push(c);
            }
        }
    }
    let parts = parts.iter().filter(|part| !part.trim().is_empty());
    parts
        .flat_map(|part| expand(part.trim()))
        .map(|path| before.trim().to_owned() + &path)
        .collect()
}

/// The references of a file: the paths of its `use` statements and of its code, and what it exports again.
#[derive(Default)]
struct References {
    paths: Vec<Vec<String>>,
    exports: Vec<Vec<String>>,
}

impl References {
    fn of(code: &str, children: &[String]) -> Self {
        let mut found = Self::default();
        let split = |path: &str| path.split("::").map(str::to_owned).collect();
        let mut rest = String::new();
        for (place, statement) in code.split_inclusive(';').enumerate() {
            let start = statement.find("use ").filter(|start| {
                let before = statement[..*start].trim_end();
                before.is_empty() || before.ends_with(['}', ')', ']']) || before.ends_with("pub")
            });
            let Some(start) = start.filter(|_| place < 200) else {
                rest.push_str(statement);
                continue;
            };
            let (before, tree) = statement.split_at(start);
            let paths = expand(tree.trim_start_matches("use ").trim_end_matches(';'));
            let is_export = before.trim_end().ends_with("pub") || before.trim_end().ends_with(')');
            let list = if is_export { &mut found.exports } else { &mut found.paths };
            list.extend(paths.iter().map(|path| split(path)));
        }
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        for path in rest.split(|c| !is_word(c)) {
            let first = path.split("::").next().unwrap_or_default();
            let is_own = matches!(first, "crate" | "super" | "self");
            if path.contains("::") && (is_own || children.iter().any(|child| child == first)) {
                found.paths.push(split(path.trim_end_matches(':')));
            }
        }
        found
    }
}

/// The dependencies among the files of a crate.
fn graph(src: &Path) -> Graph {
    let files = modules(src);
    let children = |module: &Module| -> Vec<String> {
        let below = files.keys().filter(|m| m.len() == module.len() + 1 && m.starts_with(module));
        below.map(|m| m[module.len()].clone()).collect()
    };
    let references: BTreeMap<&Module, References> =
        files.iter().map(|(m, code)| (m, References::of(code, &children(m)))).collect();
    let absolute = |module: &Module, path: &[String]| -> Option<(Module, Vec<String>)> {
        let (mut base, mut rest) = match path.first()?.as_str() {
            "crate" => (Vec::new(), &path[1..]),
            "self" => (module.clone(), &path[1..]),
            "super" => (module[..module.len().checked_sub(1)?].to_vec(), &path[1..]),
            first if children(module).iter().any(|child| child == first) => (module.clone(), path),
            _ => return None,
        };
        while rest.first().is_some_and(|part| part == "super") {
            base.pop()?;
            rest = &rest[1..];
        }
        while let Some(part) = rest.first() {
            let below = [base.as_slice(), std::slice::from_ref(part)].concat();
            if !files.contains_key(&below) {
                break;
            }
            (base, rest) = (below, &rest[1..]);
        }
        Some((base, rest.to_vec()))
    };
    let mut exports: BTreeMap<(Module, String), Module> = BTreeMap::new();
    for (module, found) in &references {
        for path in &found.exports {
            if let (Some((target, _)), Some(item)) = (absolute(module, path), path.last()) {
                exports.insert(((*module).clone(), item.clone()), target);
            }
        }
    }
    let mut graph = Graph::new();
    for (module, found) in &references {
        let targets = graph.entry((*module).clone()).or_default();
        for path in &found.paths {
            let Some((mut target, rest)) = absolute(module, path) else { continue };
            let item = rest.first().cloned().unwrap_or_default();
            while let Some(origin) = exports.get(&(target.clone(), item.clone())) {
                if *origin == target {
                    break;
                }
                target = origin.clone();
            }
            if target != **module {
                targets.insert(target);
            }
        }
    }
    graph
}

/// A module that depends on itself, if there is one.
fn circle(graph: &Graph) -> Option<Module> {
    graph
        .keys()
        .find(|start| {
            let (mut seen, mut next) = (BTreeSet::new(), vec![*start]);
            while let Some(module) = next.pop() {
                for target in graph.get(module).into_iter().flatten() {
                    if target == *start {
                        return true;
                    }
                    if seen.insert(target) {
                        next.push(target);
                    }
                }
            }
            false
        })
        .cloned()
}

/// The same by the modules at the top of the crate.
fn at_the_top(graph: &Graph) -> Graph {
    let top = |module: &Module| module.iter().take(1).cloned().collect::<Module>();
    let mut tops = Graph::new();
    for (module, targets) in graph {
        let own = top(module);
        let others = targets.iter().map(top).filter(|other| *other != own);
        tops.entry(own.clone()).or_default().extend(others);
    }
    tops
}

#[test]
fn modules_have_no_circles() {
    let mut sources: Vec<PathBuf> = super::packages().iter().map(|path| path.join("src")).collect();
    sources.push(super::root().join("src"));
    for src in sources {
        let graph = graph(&src);
        assert_eq!(circle(&graph), None, "{}", src.display());
        assert_eq!(circle(&at_the_top(&graph)), None, "{}", src.display());
    }
}

#[test]
fn circle_is_found_through_exports_and_children() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("lib.rs", "mod a;\nmod b;\npub use crate::a::A;\n");
    write("a/mod.rs", "mod inner;\npub(crate) use inner::{A, Other};\n");
    write("a/inner.rs", "use std::fmt;\npub struct A;\n");
    write("b.rs", "use crate::a::{A};\n");
    assert_eq!(circle(&graph(folder.path())), None);
    write("a/inner.rs", "use std::fmt;\nfn f() { crate::b::g() }\n");
    assert!(circle(&graph(folder.path())).is_some());
    write("a/inner.rs", "use super::Thing;\n");
    write("a/mod.rs", "mod inner;\nstruct Thing;\nfn f() { inner::f() }\n");
    assert!(circle(&graph(folder.path())).is_some());
}
