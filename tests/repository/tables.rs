//! The tables of README.md and docs/settings.md that are made from what services say of themselves. `UPDATE_TABLES=1`
//! writes them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use boutique_proto::services::{SERVICES, ServiceSpec};

use super::{members, package_name, read, root};

/// A service as its folder and the table of services describe it.
struct Service {
    name: String,
    folder: String,
    path: PathBuf,
    spec: &'static ServiceSpec,
}

/// The services by name.
fn services() -> Vec<Service> {
    let mut services: Vec<_> = members("services").into_iter().map(Service::new).collect();
    services.sort_by(|a, b| a.name.cmp(&b.name));
    services
}

impl Service {
    fn new(path: PathBuf) -> Self {
        let name = package_name(&path);
        let folder = path.file_name().unwrap().to_string_lossy().into_owned();
        let spec = SERVICES.iter().find(|spec| spec.name == name).unwrap();
        Self { name, folder, path, spec }
    }

    /// The description in its manifest, as it stands within a row.
    fn description(&self) -> String {
        let manifest = read(self.path.join("Cargo.toml"));
        let text = manifest.split("\ndescription = \"").nth(1).unwrap().split('"').next().unwrap();
        text[..1].to_lowercase() + &text[1..]
    }

    /// Whom its network policy lets it call.
    fn callees(&self, services: &[Self]) -> Vec<String> {
        let values = self.name.replace("service", "-service");
        let values = read(format!("values/{values}-values.yaml"));
        let egress = values.split("\n  egressTo:\n").nth(1).unwrap_or_default();
        let apps = egress.lines().filter_map(|line| line.split("{app: ").nth(1)?.split(',').next());
        let name = |app: &str| {
            let service = services.iter().find(|service| service.name == app);
            service.map_or_else(|| "Redis".to_owned(), |service| service.folder.clone())
        };
        apps.map(name).collect()
    }

    /// The rows of the settings in its README: names, default and meaning.
    fn settings(&self) -> Vec<[String; 3]> {
        let readme = read(self.path.join("README.md"));
        let table = readme.split("| setting | default | meaning |\n").nth(1).unwrap_or_default();
        let rows = table.lines().skip(1).take_while(|line| line.starts_with('|'));
        let cells = |row: &str| {
            let mut cells = row.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned());
            [(); 3].map(|()| cells.next().unwrap_or_default())
        };
        rows.map(cells).collect()
    }

    /// The settings of its callers: for each method its deadline.
    fn deadlines(&self) -> String {
        let mut keys: Vec<(&str, String)> = Vec::new();
        for method in self.spec.methods {
            let rpc = method.name().rsplit('/').next().unwrap();
            match keys.iter_mut().find(|(key, _)| *key == method.timeout_key) {
                Some((_, text)) => write!(text, ", {rpc}").unwrap(),
                None => {
                    let default = format!("{:?}: {rpc}", method.timeout);
                    keys.push((method.timeout_key, default));
                }
            }
        }
        let texts: Vec<_> = keys.iter().map(|(key, text)| format!("`{key}` {text}")).collect();
        texts.join("; ")
    }
}

/// The settings in the first cell of a row.
pub(crate) fn names(row: &str) -> BTreeSet<String> {
    let cell = row.trim_start_matches('|').split('|').next().unwrap_or_default();
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Checks that the table under this header in a document has these rows, or writes them.
fn assert_table(document: &str, header: &str, rows: &[String]) {
    let text = read(document);
    let (before, rest) = text.split_once(&format!("\n{header}\n")).unwrap();
    let after = rest.find("\n\n").map_or("", |end| &rest[end..]);
    let rule = "|---".repeat(header.matches('|').count() - 1);
    let made = format!("{before}\n{header}\n{rule}|\n{}{after}", rows.join("\n"));
    if std::env::var_os("UPDATE_TABLES").is_some() {
        fs::write(root().join(document), made).unwrap();
    } else {
        assert!(text == made, "{document}: write the table with UPDATE_TABLES=1");
    }
}

#[test]
fn tables_of_services_are_made_from_them() {
    let services = services();
    let row = |service: &Service| {
        let Service { name, folder, spec, .. } = service;
        let (what, calls) = (service.description(), service.callees(&services).join(", "));
        let calls = if calls.is_empty() { String::new() } else { format!("{calls} ") };
        format!("| [{name}](services/{folder}) | {} | {what} | {calls}|", spec.port)
    };
    let rows: Vec<_> = services.iter().map(row).collect();
    assert_table("README.md", "| service | port | what it does | calls |", &rows);

    let row = |service: &Service| {
        let ServiceSpec { name, addr_key, .. } = service.spec;
        format!("| {name} | `{addr_key}` | {} |", service.deadlines()).replace("|  |", "| |")
    };
    let rows: Vec<_> = services.iter().map(row).collect();
    assert_table("docs/settings.md", "| service | its address | deadlines of its methods |", &rows);

    let document = read("docs/settings.md");
    let of_many = document.split("| setting | of | default | meaning |\n").nth(1).unwrap();
    let of_many = of_many.split("\n\n").next().unwrap().lines().flat_map(names);
    let known: BTreeSet<_> =
        of_many.chain(SERVICES.iter().map(|spec| spec.addr_key.to_owned())).collect();
    let rows = services.iter().flat_map(|service| {
        let own = service.settings().into_iter();
        own.filter(|[name, ..]| names(name).is_disjoint(&known)).map(|[name, default, meaning]| {
            let meaning = meaning.replace("](../../docs/", "](").replace("](../../", "](../");
            format!("| {name} | {} | {default} | {meaning} |", service.folder)
        })
    });
    let rows: Vec<_> = rows.collect();
    assert_table("docs/settings.md", "| setting of one service | of | default | meaning |", &rows);
}
