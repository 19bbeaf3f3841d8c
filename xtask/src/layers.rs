//! The layers of the library, and a check that each import points down.
//!
//! A layer is a folder of `src/`. Imports are read from the syntax tree: `use` lines and paths that
//! begin with `crate`. Tests are left out: they may use what they like.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use syn::visit::{self, Visit};

/// The layers, lowest first. Each may use those before it.
const LAYERS: [&str; 13] = [
    "sys", "schema", "types", "liveness", "policy", "protocol", "format", "segment", "store",
    "map", "cache", "dynamic", "testing",
];

/// Pairs that the order allows, and that are forbidden all the same.
const NEVER: [(&str, &str); 2] = [("cache", "map"), ("schema", "sys")];

/// The path of a module, from the root of the crate.
type Module = Vec<String>;

/// An import: the line where it stands, and the path that it names.
struct Import {
    line: usize,
    path: Vec<String>,
}

struct File {
    /// As it is shown.
    name: String,
    module: Module,
    imports: Vec<Import>,
}

/// Checks the tree below `sources`. Says what it has counted, or what is wrong.
pub(crate) fn check(sources: &Path) -> Result<String, String> {
    let mut files = Vec::new();
    read(sources, sources, &mut Vec::new(), &mut files)
        .map_err(|error| format!("{sources:?}: {error}"))?;
    let modules: BTreeMap<&Module, &File> = files.iter().map(|file| (&file.module, file)).collect();

    let (mut faults, mut upward) = (String::new(), 0);
    let mut arrows = BTreeSet::new();
    let mut edges: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in &files {
        let Some(from) = file.module.first() else {
            continue; // The root of the crate shows what there is: it uses all.
        };
        let from_rank = rank(from);
        if from_rank.is_none() {
            let _ = writeln!(faults, "{}: `{from}` is no layer", file.name);
        }
        for import in &file.imports {
            let place = format!("{}:{}", file.name, import.line);
            let path = import.path.join("::");
            let to = &import.path[0];
            // What tests and fuzz targets reach uses public names, as programs do.
            let is_public = from == "testing" && rank(to).is_none();
            if to != from && !is_public {
                arrows.insert((from.clone(), to.clone()));
                let is_below = rank(to) < from_rank && rank(to).is_some();
                if !is_below || NEVER.contains(&(from, to)) {
                    upward += 1;
                    let _ = writeln!(faults, "{place}: {from} may not use crate::{path}");
                }
            }
            // The file that is meant: that of the longest module path.
            let target = (1..=import.path.len())
                .rev()
                .find_map(|len| modules.get(&import.path[..len].to_vec()));
            if let Some(target) = target
                && target.name != file.name
            {
                edges.entry(&file.name).or_default().insert(&target.name);
            }
        }
    }
    let circles = circles(&edges);
    for circle in &circles {
        let _ = writeln!(faults, "a circle: {}", circle.join(" <-> "));
    }
    let rooms: BTreeSet<_> = files
        .iter()
        .filter_map(|file| file.module.first())
        .collect();
    let summary = format!(
        "{} files in {} rooms, {} arrows between rooms, {upward} imports upward, {} circles",
        files.len(),
        rooms.len(),
        arrows.len(),
        circles.len(),
    );
    match faults.is_empty() {
        true => Ok(summary),
        false => Err(format!("{faults}{summary}")),
    }
}

fn rank(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|known| *known == layer)
}

fn read(
    root: &Path,
    folder: &Path,
    module: &mut Module,
    files: &mut Vec<File>,
) -> std::io::Result<()> {
    let mut entries: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let path = entry.path();
        let stem = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if stem == "tests" || stem == "docs" {
            continue;
        }
        if path.is_dir() {
            module.push(stem);
            read(root, &path, module, files)?;
            module.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let mut own = module.clone();
            if stem != "mod" && stem != "lib" {
                own.push(stem);
            }
            let text = fs::read_to_string(&path)?;
            let tree = syn::parse_file(&text)
                .map_err(|error| std::io::Error::other(format!("{}: {error}", path.display())))?;
            let mut imports = Imports {
                module: own.clone(),
                found: Vec::new(),
            };
            imports.visit_file(&tree);
            files.push(File {
                name: path
                    .strip_prefix(root)
                    .unwrap_or(&path)
                    .display()
                    .to_string(),
                module: own,
                imports: imports.found,
            });
        }
    }
    Ok(())
}

/// Collects the imports of one file.
struct Imports {
    module: Module,
    found: Vec<Import>,
}

impl Imports {
    /// Notes a path if it leads from the root of the crate: `crate`, `self` and `super` are resolved.
    fn note(&mut self, line: usize, mut path: Vec<String>) {
        let mut base = self.module.clone();
        match path[0].as_str() {
            "crate" => base.clear(),
            "self" => {}
            "super" => {
                while path.first().is_some_and(|first| first == "super") {
                    base.pop();
                    path.remove(0);
                }
                path.insert(0, String::new());
            }
            _ => return,
        }
        base.extend(path.drain(1..));
        if !base.is_empty() {
            self.found.push(Import { line, path: base });
        }
    }

    fn walk(&mut self, line: usize, prefix: &[String], tree: &syn::UseTree) {
        let with = |name: &syn::Ident| [prefix, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.walk(line, &with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.note(line, with(&name.ident)),
            syn::UseTree::Rename(rename) => self.note(line, with(&rename.ident)),
            syn::UseTree::Glob(_) => self.note(line, prefix.to_vec()),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.walk(line, prefix, tree);
                }
            }
        }
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !is_of_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_of_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.walk(item.use_token.span.start().line, &[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<_> = path
            .segments
            .iter()
            .map(|part| part.ident.to_string())
            .collect();
        if names[0] == "crate" && names.len() > 1 {
            let line = path.segments[0].ident.span().start().line;
            self.note(line, names);
        }
        visit::visit_path(self, path);
    }

    /// What stands in a macro is no tree: paths are found among its tokens.
    fn visit_macro(&mut self, mac: &'ast syn::Macro) {
        note_tokens(self, mac.tokens.clone());
        visit::visit_macro(self, mac);
    }
}

fn note_tokens(imports: &mut Imports, tokens: proc_macro2::TokenStream) {
    let mut path: Vec<String> = Vec::new();
    let mut line = 0;
    let mut colons = 0;
    let end = |imports: &mut Imports, path: &mut Vec<String>, line| {
        if path.len() > 1 {
            imports.note(line, std::mem::take(path));
        }
        path.clear();
    };
    for token in tokens {
        match token {
            proc_macro2::TokenTree::Ident(name) if name == "crate" => {
                end(imports, &mut path, line);
                line = name.span().start().line;
                path.push("crate".to_owned());
                colons = 0;
            }
            proc_macro2::TokenTree::Ident(name) if !path.is_empty() && colons == 2 => {
                path.push(name.to_string());
                colons = 0;
            }
            proc_macro2::TokenTree::Punct(punct) if !path.is_empty() && punct.as_char() == ':' => {
                colons += 1;
            }
            proc_macro2::TokenTree::Group(group) => {
                end(imports, &mut path, line);
                note_tokens(imports, group.stream());
            }
            _ => end(imports, &mut path, line),
        }
    }
    end(imports, &mut path, line);
}

fn attributes(item: &syn::Item) -> &[syn::Attribute] {
    match item {
        syn::Item::Const(item) => &item.attrs,
        syn::Item::Enum(item) => &item.attrs,
        syn::Item::Fn(item) => &item.attrs,
        syn::Item::Impl(item) => &item.attrs,
        syn::Item::Macro(item) => &item.attrs,
        syn::Item::Mod(item) => &item.attrs,
        syn::Item::Static(item) => &item.attrs,
        syn::Item::Struct(item) => &item.attrs,
        syn::Item::Trait(item) => &item.attrs,
        syn::Item::Type(item) => &item.attrs,
        syn::Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether an item is compiled for tests (or fuzz targets) only.
fn is_of_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.meta.require_list().is_ok_and(|list| {
                let condition = list.tokens.to_string();
                !condition.starts_with("not") && condition.contains("test")
            })
    })
}

/// Groups of files that reach each other. The file of a folder (`mod.rs`) is left out: its children
/// use the types that it declares, and it names its children.
fn circles(edges: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<Vec<String>> {
    let is_folder = |name: &str| name.ends_with("/mod.rs") || name.ends_with("/lib.rs");
    let reach = |start: &str| {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        let mut open = vec![start];
        while let Some(name) = open.pop() {
            for next in edges.get(name).into_iter().flatten() {
                if !is_folder(next) && seen.insert(next) {
                    open.push(next);
                }
            }
        }
        seen.iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<String>>()
    };
    let reached: BTreeMap<&str, BTreeSet<String>> = edges
        .keys()
        .filter(|name| !is_folder(name))
        .map(|name| (*name, reach(name)))
        .collect();
    let mut circles: Vec<Vec<String>> = Vec::new();
    for (name, reaches) in &reached {
        if !reaches.contains(*name) || circles.iter().flatten().any(|known| known == name) {
            continue;
        }
        let circle = reaches.iter().filter(|other| {
            reached
                .get(other.as_str())
                .is_some_and(|back| back.contains(*name))
        });
        circles.push(circle.cloned().collect());
    }
    circles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Result<String, String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        check(folder.path())
    }

    #[test]
    fn every_import_of_the_library_points_down() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../src");
        if let Err(faults) = check(&sources) {
            panic!("{faults}");
        }
    }

    #[test]
    fn an_import_upward_is_found_in_each_form() {
        let below = ("store/mod.rs", "pub(crate) struct Open;");
        for upward in [
            "use crate::store::Open;",
            "use crate::{store::Open as Other};",
            "use super::super::store;",
            "fn f() { let _ = crate::store::Open; }",
            "fn f() { println!(\"{:?}\", [crate::store::Open]); }",
            "use crate::Map;",
        ] {
            let faults = tree(&[below, ("protocol/table.rs", upward)]).unwrap_err();
            assert!(
                faults.contains("table.rs:1: protocol may not use"),
                "{upward}: {faults}"
            );
        }
        let allowed = ("map/mod.rs", "use crate::store::Open;");
        tree(&[below, allowed]).unwrap();
    }

    #[test]
    fn a_cache_never_uses_a_map() {
        let faults = tree(&[("cache/mod.rs", "use crate::map::Map;")]).unwrap_err();
        assert!(faults.contains("cache may not use"), "{faults}");
    }

    #[test]
    fn tests_may_use_what_they_like() {
        let test = "#[cfg(test)] mod tests { use crate::map::Map; }";
        tree(&[
            ("sys/mod.rs", test),
            ("sys/tests.rs", "use crate::map::Map;"),
        ])
        .unwrap();
        let not = "#[cfg(not(test))] use crate::map::Map;";
        tree(&[("sys/mod.rs", not)]).unwrap_err();
    }

    #[test]
    fn files_that_import_each_other_are_found() {
        let faults = tree(&[
            ("sys/a.rs", "use super::b::B;"),
            ("sys/b.rs", "use super::c::C;"),
            ("sys/c.rs", "use crate::sys::a::A;"),
        ])
        .unwrap_err();
        assert!(faults.contains("1 circles"), "{faults}");
        // A type of the folder's own file is no circle.
        tree(&[
            ("sys/mod.rs", "mod a; use self::a::A;"),
            ("sys/a.rs", "use super::Type;"),
        ])
        .unwrap();
    }

    #[test]
    fn a_folder_that_is_no_layer_is_found() {
        assert!(tree(&[("misc/mod.rs", "")]).is_err());
    }
}
