//! Repository checks: dependencies among crates and modules, what business rules may use, what is the same in every
//! service, and that the README agrees with the code.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod modules;
mod tables;
mod words;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const CRATES: [&str; 4] =
    ["boutique-money", "boutique-proto", "boutique-service", "boutique-store"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(root().join(&path)).unwrap_or_default()
}

/// Every folder below `folder`.
fn members(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let mut folders: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.join("Cargo.toml").exists());
    folders.sort();
    folders
}

fn packages() -> Vec<PathBuf> {
    ["crates", "services", "tools"].into_iter().flat_map(members).collect()
}

/// Every Rust file of the repository.
fn sources() -> Vec<PathBuf> {
    let found = boutique_test::files(root(), "rs");
    assert!(found.len() > 60);
    found
}

/// The names of a manifest's dependencies, those of its tests apart.
fn dependencies(package: &Path) -> Vec<String> {
    let manifest = read(package.join("Cargo.toml"));
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let names = section.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| !name.is_empty() && !name.starts_with('#')).map(str::to_owned).collect()
}

fn package_name(package: &Path) -> String {
    let manifest = read(package.join("Cargo.toml"));
    let line = manifest.lines().find(|line| line.starts_with("name = ")).unwrap();
    line.split('"').nth(1).unwrap().to_owned()
}

/// Everything in double quotes that is written like a setting.
fn settings_in(text: &str) -> BTreeSet<String> {
    let is_setting = |text: &&str| {
        text.len() > 3
            && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    };
    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
    let mut settings: BTreeSet<String> =
        code.split('"').filter(is_setting).map(str::to_owned).collect();
    // A secret may stand in a file that another setting names.
    for reader in [".secret(\"", "from_env(env, \""] {
        let secrets = code.split(reader).skip(1).filter_map(|rest| rest.split('"').next());
        let secrets = secrets.filter(|name| is_setting(name));
        settings.extend(secrets.map(|name| format!("{name}_FILE")));
    }
    settings
}

#[test]
fn crates_depend_downward_and_no_service_on_another() {
    let services: Vec<_> = members("services").iter().map(|path| package_name(path)).collect();
    assert!(services.len() >= 10);
    for (layer, name) in CRATES.iter().enumerate() {
        for dependency in dependencies(&Path::new("crates").join(name)) {
            let place = CRATES.iter().position(|other| *other == dependency);
            assert!(place.is_none_or(|place| place < layer), "{name} depends on {dependency}");
            assert!(!services.contains(&dependency), "{name} depends on {dependency}");
        }
    }
    for package in members("services").iter().chain(&members("tools")) {
        for dependency in dependencies(package) {
            assert!(!services.contains(&dependency), "{package:?} depends on {dependency}");
            assert_ne!(dependency, "boutique", "{package:?} depends on the shop");
        }
    }
}

/// The shared parts of tests are compiled into no product binary; the recorder is a tool for the laboratory.
#[test]
fn no_product_depends_on_test_support() {
    let may =
        |path: &PathBuf| ["boutique-test", "recorder"].iter().any(|name| path.ends_with(name));
    for package in packages().iter().filter(|path| !may(path)) {
        assert!(!dependencies(package).contains(&"boutique-test".to_owned()), "{package:?}");
    }
    assert!(!dependencies(root()).contains(&"boutique-test".to_owned()));
}

/// The bootstrap serves any service, and so knows none.
#[test]
fn bootstrap_has_no_service_names() {
    let names: Vec<String> = members("services").iter().map(|path| package_name(path)).collect();
    let is_bootstrap = |path: &PathBuf| path.to_string_lossy().contains("/boutique-service/src/");
    for path in sources().into_iter().filter(is_bootstrap) {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap().lines();
        for line in code.filter(|line| !line.trim_start().starts_with("//")) {
            let name = names.iter().find(|name| line.contains(&format!("\"{name}\"")));
            assert_eq!(name, None, "{}: {line}", path.display());
        }
    }
}

#[test]
fn domain_has_no_async_no_clock_and_no_protobuf() {
    let mut domains = 0;
    for path in sources() {
        let text = path.to_string_lossy().into_owned();
        if !text.contains("/src/domain.rs") && !text.contains("/src/domain/") {
            continue;
        }
        domains += 1;
        let code = fs::read_to_string(&path).unwrap();
        for word in ["tokio", "tonic", "boutique_proto", "std::env", "::now", "async", "tracing"] {
            assert!(!code.contains(word), "{text} has {word}");
        }
    }
    assert!(domains >= 10);
}

#[test]
fn every_file_has_a_doc_comment() {
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!") || text.starts_with("#![doc = "), "{}", path.display());
    }
}

#[test]
fn every_manifest_takes_from_the_workspace() {
    for package in packages() {
        let manifest = read(package.join("Cargo.toml"));
        for key in ["version", "edition", "rust-version", "license", "publish"] {
            assert!(
                manifest.contains(&format!("\n{key}.workspace = true\n")),
                "{package:?}: {key}"
            );
        }
        assert!(manifest.contains("[lints]\nworkspace = true\n"), "{package:?}");
        for line in manifest.lines().filter(|line| line.contains('=') && line.contains("\"")) {
            let own = ["name", "description"].iter().any(|key| line.starts_with(key));
            assert!(own || line.contains("workspace = true"), "{package:?}: {line}");
        }
    }
}

#[test]
fn every_service_has_the_same_main_and_the_same_files() {
    for package in members("services") {
        let name = package_name(&package);
        let main = read(package.join("src/main.rs"));
        let expected = read("services/shipping/src/main.rs").replace("shippingservice", &name);
        assert_eq!(main, expected, "{name}");
        let lib = read(package.join("src/lib.rs"));
        assert!(lib.contains("pub const SERVICE: Service"), "{name}");
        assert!(lib.contains("pub async fn routes("), "{name}");
        assert!(lib.lines().count() <= 45, "{name}");
        for file in ["README.md", "src/domain.rs"] {
            assert!(package.join(file).exists(), "{name} has no {file}");
        }
        assert!(read(package.join("README.md")).lines().count() <= 45, "{name}");
    }
}

#[test]
fn functions_and_files_are_short() {
    for path in sources() {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap().lines();
        let is_test = path.to_string_lossy().contains("/tests/");
        let mut began = None;
        for (number, line) in code.enumerate() {
            assert!(is_test || number <= 500, "{} is too long", path.display());
            let indent = line.len() - line.trim_start().len();
            let opens = line.contains("fn ") && !line.trim_start().starts_with("//");
            if opens && !line.trim_end().ends_with([';', '}']) {
                began = Some((number, indent));
            } else if let Some((start, outer)) = began
                && indent == outer
                && line.trim() == "}"
            {
                let length = number - start;
                assert!(
                    is_test || length <= 60,
                    "{}:{} has {length} lines",
                    path.display(),
                    start + 1
                );
                began = None;
            }
        }
    }
}

/// The page of promises names each by tests that exist.
#[test]
fn promises_have_tests() {
    let page = read("docs/reliability.md");
    let mut named = 0;
    let tests: String = sources().into_iter().map(read).collect();
    for name in page.split('`').skip(1).step_by(2) {
        if name.contains('_')
            && name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase() || b.is_ascii_digit())
        {
            assert!(tests.contains(&format!("fn {name}(")), "there is no test {name}");
            named += 1;
        }
    }
    assert!(named > 40, "{named}");
}

#[test]
fn every_service_is_delivered_everywhere() {
    let everywhere = ["helmfile.yaml", "compose.yaml", "release/kubernetes-manifests.yaml"];
    let values: Vec<String> = fs::read_dir(root().join("values"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    // The load generator is delivered as well; the other tools are for those who have the sources.
    let tools = members("tools").into_iter().filter(|tool| tool.ends_with("loadgenerator"));
    for package in members("services").into_iter().chain(tools) {
        let name = package_name(&package);
        for file in everywhere {
            let text = read(file);
            let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
            assert!(words.any(|word| word == name), "{file} does not have {name}");
        }
        let own = format!("appName: {name}\n");
        let files = values.iter().filter(|text| text.contains(&own)).count();
        assert_eq!(files, 1, "values files of {name}");
    }
}

#[test]
fn settings_table_is_complete() {
    let mut in_code = BTreeSet::new();
    for path in sources() {
        let text = path.to_string_lossy().into_owned();
        let reads = ["config.rs", "lib.rs", "clients.rs", "delivery.rs"];
        let is_service = text.contains("/services/") && text.contains("/src/");
        if (is_service && reads.iter().any(|file| text.ends_with(&format!("/src/{file}"))))
            || text.contains("/crates/boutique-service/src/")
            || text.ends_with("/crates/boutique-store/src/redis.rs")
            || (text.ends_with("/src/main.rs") && !text.contains("/tools/"))
        {
            in_code.extend(settings_in(&fs::read_to_string(&path).unwrap()));
        }
    }
    for word in ["WRONGTYPE", "CARGO_PKG_VERSION", "_OTHER"] {
        in_code.remove(word);
    }

    let mut told = settings_of_the_table(&read("docs/settings.md"));
    // In a table of their own, made from that of the services.
    for spec in boutique_proto::services::SERVICES {
        for key in spec.methods.iter().map(|method| method.timeout_key).chain([spec.addr_key]) {
            in_code.remove(key);
            told.remove(key);
        }
    }
    assert_eq!(told, in_code);
}

/// The names in the first column of the tables under "Settings".
fn settings_of_the_table(document: &str) -> BTreeSet<String> {
    let table = document.split("## Settings").nth(1).unwrap().split("\n## ").next().unwrap();
    table.lines().filter(|line| line.starts_with("| `")).flat_map(tables::names).collect()
}

#[test]
fn the_load_generators_readme_has_every_option_and_its_setting() {
    let code = read("tools/loadgenerator/src/options.rs");
    let names = code.split("env = \"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let in_code: BTreeSet<_> = names.map(str::to_owned).collect();
    let readme = read("tools/loadgenerator/README.md");
    let told = settings_of_the_table(&readme);
    let services = told.iter().filter(|name| name.ends_with("_SERVICE_ADDR")).count();
    assert_eq!(told.len() - services, in_code.len(), "{told:?} {in_code:?}");
    for name in in_code {
        let option = format!("`--{}`", name.to_lowercase().replace('_', "-"));
        assert!(told.contains(&name) && readme.contains(&option), "{name} {option}");
    }
}

#[test]
fn the_public_workflow_runs_what_people_run() {
    assert!(read(".github/workflows/ci.yml").contains("run: .ci/run"));
    assert!(read(".ci/run").contains("exec scripts/test"));
    assert!(read("README.md").contains("scripts/test"));
}

/// The README names the oldest toolchain that the manifests allow.
#[test]
fn the_readme_names_the_toolchain_that_is_needed() {
    let manifest = read("Cargo.toml");
    let version =
        manifest.split("rust-version = \"").nth(1).and_then(|rest| rest.split('"').next());
    let words = format!("a Rust toolchain, {} or later", version.unwrap());
    assert!(read("README.md").contains(&words), "{words}");
}

/// As on Windows, where git writes carriage returns unless it is told otherwise: no script would run with them.
#[test]
fn a_checkout_has_unix_line_ends_whatever_git_is_set_to() {
    let folder = tempfile::tempdir().unwrap();
    let index = folder.path().join("index");
    let tree = folder.path().join("tree/");
    // The files as they are, not as they were committed.
    let environment = format!("GIT_INDEX_FILE={}", index.display());
    let script = format!(
        "{environment} git -c safe.directory='*' add --all && \
         {environment} git -c safe.directory='*' -c core.autocrlf=true -c core.eol=crlf \
         checkout-index --all --prefix={}",
        tree.display(),
    );
    let status =
        std::process::Command::new("sh").args(["-c", &script]).current_dir(root()).status();
    assert!(status.unwrap().success());
    for name in
        ["scripts/test", "scripts/ten", "Dockerfile", "compose.yaml", "README.md", "src/main.rs"]
    {
        let bytes = fs::read(tree.join(name)).unwrap();
        assert!(!bytes.contains(&b'\r'), "{name}");
    }
}
