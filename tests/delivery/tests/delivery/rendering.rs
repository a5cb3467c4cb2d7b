//! Everything renders, with either Helm, in every environment, and every Kubernetes takes it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use serde_json::Value;

use crate::tools::{
    DIGEST, ENVIRONMENTS, SERVICES, attempt, document, documents, manifests, read, root, run, text,
};

/// The releases of `helmfile.yaml`: name, chart, and the values files that are there.
pub(crate) fn releases(environment: &str) -> anyhow::Result<Vec<(String, String, Vec<String>)>> {
    let mut state = documents(&read("helmfile.yaml")?)?;
    state.extend(documents(&read("namespace.helmfile.yaml")?)?);
    let list = state.iter().filter_map(|part| part["releases"].as_array());
    let template = state.iter().map(|part| &part["templates"]["service"]).find(|it| it.is_object());
    let template = template.context("no template")?;
    let mut releases = Vec::new();
    for release in list.flatten() {
        let field = |key: &str| if release[key].is_null() { &template[key] } else { &release[key] };
        let name = text(&release["name"]).replace("{{ .Environment.Name }}", environment);
        let own = name.strip_suffix("service").map(|stem| format!("{stem}-service"));
        let own = own.unwrap_or_else(|| name.clone());
        let here = |value: &Value| {
            let file = text(value).replace("{{ .Environment.Name }}", environment);
            file.replace("{{ regexReplaceAll \"service$\" .Release.Name \"-service\" }}", &own)
        };
        let files = field("values").as_array().into_iter().flatten().map(here);
        let present = files.filter(|file| file.ends_with(".yaml") && root().join(file).exists());
        releases.push((name, text(field("chart")), present.collect()));
    }
    anyhow::ensure!(releases.len() == SERVICES.len() + 3, "{} releases", releases.len());
    Ok(releases)
}

/// The values files that people name in a command, each whole by itself.
const VALUES: [&str; 12] = [
    "frontend",
    "cart-service",
    "email-service",
    "ad-service",
    "checkout-service",
    "currency-service",
    "payment-service",
    "productcatalog-service",
    "recommendation-service",
    "shipping-service",
    "loadgenerator",
    "redis",
];

#[test]
fn the_known_commands_work_letter_by_letter() -> anyhow::Result<()> {
    for helm in ["helm3", "helm4"] {
        for name in VALUES {
            let file = format!("values/{name}-values.yaml");
            let chart = if name == "redis" { "charts/redis" } else { "charts/microservice" };
            run(helm, &["template", "-f", &file, chart])?;
            run(helm, &["lint", "-f", &file, chart])?;
            // From the folder of the charts, too.
            let there =
                format!("cd charts && {helm} template -f ../{file} {}", &chart["charts/".len()..]);
            run("sh", &["-c", &there])?;
        }
    }
    Ok(())
}

#[test]
fn every_release_lints_and_renders_in_every_environment_with_either_helm() -> anyhow::Result<()> {
    for environment in ENVIRONMENTS {
        for (release, chart, files) in releases(environment)? {
            let mut values: Vec<String> =
                files.iter().flat_map(|file| ["-f".to_owned(), file.clone()]).collect();
            let told = match chart.as_str() {
                "charts/namespace" => "name=shop".to_owned(),
                _ => format!("appImageDigest={DIGEST}"),
            };
            values.extend(["--set".to_owned(), told, chart]);
            for helm in ["helm3", "helm4"] {
                let lint =
                    [vec!["lint".to_owned(), "--strict".to_owned()], values.clone()].concat();
                run(helm, &lint)?;
                let template =
                    [vec!["template".to_owned(), release.clone()], values.clone()].concat();
                run(helm, &template)?;
            }
        }
    }
    Ok(())
}

#[test]
fn helmfile_names_every_release_and_renders_alike_with_either_helm() -> anyhow::Result<()> {
    for environment in ENVIRONMENTS {
        let list = run("helmfile", &["-e", environment, "list", "--output", "json"])?;
        let list: Vec<Value> = serde_json::from_str(&list)?;
        let enabled: BTreeSet<String> = list
            .iter()
            .filter(|release| release["enabled"] == true)
            .map(|release| text(&release["name"]))
            .collect();
        let mut expected: BTreeSet<String> = SERVICES.map(str::to_owned).into();
        expected.insert("rediscart".to_owned());
        if environment != "prod" {
            expected.insert("loadgenerator".to_owned());
        }
        if environment != "default" {
            expected.insert(format!("namespace-{environment}"));
        }
        assert_eq!(enabled, expected, "{environment}");

        let folder = tempfile::tempdir()?;
        let digests = crate::tools::digests(folder.path())?;
        let arguments = ["--quiet", "--helm-binary", "helm3", "-e", environment];
        let with_helm3 = [&arguments[..], &["--state-values-file", &digests, "template"]].concat();
        let objects = |text: &str| -> anyhow::Result<BTreeMap<String, Value>> {
            let keyed =
                |object: Value| (format!("{} {}", object["kind"], object["metadata"]), object);
            Ok(documents(text)?.into_iter().map(keyed).collect())
        };
        assert_eq!(objects(&run("helmfile", &with_helm3)?)?, objects(&manifests(environment)?)?);
        run("helmfile", &["-e", environment, "show-dag"])?;
    }
    Ok(())
}

#[test]
fn every_kubernetes_since_1_30_takes_every_object_strictly() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut files = Vec::new();
    for environment in ENVIRONMENTS {
        let path = folder.path().join(format!("{environment}.yaml"));
        std::fs::write(&path, manifests(environment)?)?;
        files.push(path.display().to_string());
    }
    for minor in 30..=37 {
        let version = format!("1.{minor}");
        let options = ["--quiet", "--strict", "-k", &version].map(str::to_owned);
        run("kubernetes-validate", &[&options[..], &files].concat())?;
    }

    let wrong = folder.path().join("wrong.yaml");
    std::fs::write(
        &wrong,
        manifests("default")?.replace("enableServiceLinks", "enableServiceLink"),
    )?;
    let wrong = wrong.display().to_string();
    let (taken, ..) = attempt("kubernetes-validate", &["--strict", "-k", "1.37", &wrong])?;
    assert!(!taken, "a misspelt field is noticed");
    Ok(())
}

#[test]
fn what_is_made_from_the_charts_is_up_to_date() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    run("scripts/charts", &[folder.path().display().to_string()])?;
    for file in [
        "charts/microservice/README.md",
        "charts/redis/README.md",
        "charts/namespace/README.md",
        "charts/microservice/templates/_keys.tpl",
        "charts/redis/templates/_keys.tpl",
        "charts/redis/templates/_shared.tpl",
        "charts/namespace/templates/_keys.tpl",
        "charts/namespace/templates/_shared.tpl",
        "release/kubernetes-manifests.yaml",
        "release/replacements.yaml",
    ] {
        let made = std::fs::read_to_string(folder.path().join(file))?;
        assert!(made == read(file)?, "{file} is not what scripts/charts makes; run it");
    }
    Ok(())
}

#[test]
fn one_version_is_told_everywhere() -> anyhow::Result<()> {
    let manifest = read("Cargo.toml")?;
    let version = manifest.split("\nversion = \"").nth(1).and_then(|rest| rest.split('"').next());
    let version = format!("v{}", version.unwrap_or_default());
    assert_eq!(document("charts/microservice/Chart.yaml")?["appVersion"], version);
    assert!(read(".env")?.contains(&format!("\nIMAGE_TAG={version}\n")));
    assert!(read("Dockerfile")?.contains(&format!("\nARG VERSION={version}\n")));
    let redis = text(&document("charts/redis/Chart.yaml")?["appVersion"]);
    assert!(read(".env")?.contains(&format!("\nREDIS_IMAGE=docker.io/library/redis:{redis}\n")));
    Ok(())
}

#[test]
fn every_unit_case_of_the_charts_passes_and_every_key_has_one() -> anyhow::Result<()> {
    let report =
        run("helm-unittest", &["charts/microservice", "charts/redis", "charts/namespace"])?;
    let cases = report.lines().find(|line| line.starts_with("Tests:")).unwrap_or_default();
    assert!(!cases.contains("failed"), "{cases}");
    println!("{cases}");

    for chart in ["microservice", "redis", "namespace"] {
        let mut set = String::new();
        for file in std::fs::read_dir(root().join(format!("charts/{chart}/tests")))? {
            let path = file?.path();
            if path.is_file() {
                set.push_str(&std::fs::read_to_string(path)?);
            }
        }
        let values = document(&format!("charts/{chart}/values.yaml"))?;
        for key in values.as_object().into_iter().flatten().map(|(key, _)| key) {
            assert!(set.contains(&format!("{key}:")), "no case sets {key} of {chart}");
        }
    }
    Ok(())
}

#[test]
fn the_shell_scripts_the_yaml_and_the_dockerfile_are_clean() -> anyhow::Result<()> {
    run("hadolint", &["Dockerfile"])?;
    let style = "{extends: relaxed, rules: {line-length: disable, braces: disable}}";
    let yaml = run("git", &["ls-files", "*.yaml", "*.yml"])?;
    let yaml =
        yaml.lines().filter(|path| !path.contains("/templates/") && !path.starts_with("release/"));
    run("yamllint", &["--strict", "-d", style].into_iter().chain(yaml).collect::<Vec<_>>())?;
    let tracked = run("git", &["ls-files", "scripts", ".ci", "tests"])?;
    let is_shell = |path: &&str| {
        let first = std::fs::read_to_string(root().join(path)).unwrap_or_default();
        first.starts_with("#!/usr/bin/env bash") || first.starts_with("# shellcheck shell=bash")
    };
    let scripts: Vec<&str> = tracked.lines().filter(is_shell).collect();
    assert!(scripts.len() >= 8, "{scripts:?}");
    // A function that a trap calls is not unreachable.
    run("shellcheck", &[&["-x", "-e", "SC2317"][..], &scripts].concat())?;
    Ok(())
}
