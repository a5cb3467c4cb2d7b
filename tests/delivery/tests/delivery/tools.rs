//! The programs that render, and what they rendered as values.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{LazyLock, Mutex};

use anyhow::Context as _;
use boutique_proto::services;
use serde_json::Value;

/// The environments of `helmfile.yaml`.
pub(crate) const ENVIRONMENTS: [&str; 4] = ["default", "dev", "staging", "prod"];

/// The releases that run the ten services.
pub(crate) const SERVICES: [&str; services::SERVICES.len()] = {
    let mut names = [""; services::SERVICES.len()];
    let mut place = 0;
    while place < names.len() {
        names[place] = services::SERVICES[place].name;
        place += 1;
    }
    names
};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

pub(crate) fn read(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {path}"))
}

/// The YAML examples of `docs/kubernetes.md`.
pub(crate) fn examples() -> anyhow::Result<Vec<String>> {
    let document = read("docs/kubernetes.md")?;
    let blocks = document.split("\n```yaml\n").skip(1);
    Ok(blocks.filter_map(|block| block.split("```").next()).map(str::to_owned).collect())
}

/// The example that begins with a comment of this file's name.
pub(crate) fn example(file: &str) -> anyhow::Result<String> {
    let all = examples()?.into_iter();
    let mut named = all.filter(|example| example.starts_with(&format!("# {file}\n")));
    named.next().with_context(|| format!("docs/kubernetes.md shows no {file}"))
}

/// Returns the output of a program that succeeds in the repository's root.
pub(crate) fn run<S: AsRef<str>>(program: &str, arguments: &[S]) -> anyhow::Result<String> {
    let (succeeded, output, errors) = attempt(program, arguments)?;
    let arguments: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
    anyhow::ensure!(succeeded, "{program} {}\n{output}{errors}", arguments.join(" "));
    Ok(output)
}

/// Runs a program; returns true if it succeeds, with its output and its errors.
pub(crate) fn attempt<S: AsRef<str>>(
    program: &str,
    arguments: &[S],
) -> anyhow::Result<(bool, String, String)> {
    let output = Command::new(program)
        .args(arguments.iter().map(AsRef::as_ref))
        .current_dir(root())
        .env("HELMFILE_UPGRADE_NOTICE_DISABLED", "1")
        .output()
        .with_context(|| format!("cannot run {program}; the README's test command installs it"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok((output.status.success(), text(&output.stdout), text(&output.stderr)))
}

/// The documents of a YAML file.
pub(crate) fn documents(text: &str) -> anyhow::Result<Vec<Value>> {
    let documents: Vec<Value> = serde_saphyr::from_multiple(text)?;
    Ok(documents.into_iter().filter(|document| !document.is_null()).collect())
}

/// A file of one document.
pub(crate) fn document(path: &str) -> anyhow::Result<Value> {
    serde_saphyr::from_str(&read(path)?).with_context(|| format!("{path} is not YAML"))
}

/// A stand-in for the digests that a deployment to prod is told.
pub(crate) const DIGEST: &str =
    "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// A file for `helmfile --state-values-file`, with a digest for every release.
pub(crate) fn digests(folder: &Path) -> anyhow::Result<String> {
    let path = folder.join("digests.yaml");
    let mut text = "digests:\n".to_owned();
    for release in SERVICES.iter().chain(&["loadgenerator", "rediscart"]) {
        text.push_str(&format!("  {release}: {DIGEST}\n"));
    }
    std::fs::write(&path, text)?;
    Ok(path.display().to_string())
}

/// The text of everything that helmfile would send to a cluster in this environment.
pub(crate) fn manifests(environment: &str) -> anyhow::Result<String> {
    static RENDERED: LazyLock<Mutex<BTreeMap<String, String>>> = LazyLock::new(Mutex::default);
    let mut rendered = RENDERED.lock().map_err(|_| anyhow::anyhow!("a rendering failed"))?;
    if let Some(text) = rendered.get(environment) {
        return Ok(text.clone());
    }
    let folder = tempfile::tempdir()?;
    let digests = digests(folder.path())?;
    let arguments = ["--quiet", "-e", environment, "--state-values-file", &digests, "template"];
    let text = run("helmfile", &arguments)?;
    rendered.insert(environment.to_owned(), text.clone());
    Ok(text)
}

/// The same as objects.
pub(crate) fn objects(environment: &str) -> anyhow::Result<Vec<Value>> {
    documents(&manifests(environment)?)
}

/// Those of some objects that are of one kind.
pub(crate) fn all_of<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// The objects of one kind, by name.
pub(crate) fn of_kind(environment: &str, kind: &str) -> anyhow::Result<BTreeMap<String, Value>> {
    let all = objects(environment)?.into_iter().filter(|object| object["kind"] == kind);
    Ok(all.map(|object| (text(&object["metadata"]["name"]), object)).collect())
}

/// Deployments and StatefulSets, by name.
pub(crate) fn workloads(environment: &str) -> anyhow::Result<BTreeMap<String, Value>> {
    let mut all = of_kind(environment, "Deployment")?;
    all.extend(of_kind(environment, "StatefulSet")?);
    anyhow::ensure!(all.len() >= 11, "{environment} has {} workloads", all.len());
    Ok(all)
}

/// The environment variables of a workload's own container.
pub(crate) fn variables(workload: &Value) -> BTreeMap<String, String> {
    let list = workload["spec"]["template"]["spec"]["containers"][0]["env"].as_array();
    let entries = list.into_iter().flatten();
    entries.map(|entry| (text(&entry["name"]), text(&entry["value"]))).collect()
}

/// The address of the Service in a setting, without those of its pods, which come before it.
pub(crate) fn service_address(setting: &str) -> &str {
    setting.rsplit(';').next().unwrap_or_default()
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
