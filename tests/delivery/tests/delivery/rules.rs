//! The practices that hold in every environment: security, resources, graceful shutdown, one call graph.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::tools::{
    ENVIRONMENTS, SERVICES, attempt, digests, manifests, objects, of_kind, read, run,
    service_address, text, variables, workloads,
};

/// Every pod template, by workload.
fn pods(environment: &str) -> anyhow::Result<BTreeMap<String, Value>> {
    let all = workloads(environment)?.into_iter();
    Ok(all.map(|(name, workload)| (name, workload["spec"]["template"].clone())).collect())
}

fn containers(pod: &Value) -> Vec<Value> {
    let lists = ["containers", "initContainers"].map(|key| pod["spec"][key].as_array().cloned());
    lists.into_iter().flatten().flatten().collect()
}

#[test]
fn every_pod_meets_the_restricted_standard_and_more() -> anyhow::Result<()> {
    for environment in ENVIRONMENTS {
        for (name, pod) in pods(environment)? {
            let spec = &pod["spec"];
            let security = &spec["securityContext"];
            assert_eq!(security["runAsNonRoot"], true, "{name}");
            assert_eq!(security["seccompProfile"]["type"], "RuntimeDefault", "{name}");
            assert!(security["runAsUser"].as_u64() > Some(10_000), "{name}: {security}");
            assert_eq!(spec["automountServiceAccountToken"], false, "{name}");
            assert_eq!(spec["enableServiceLinks"], false, "{name}");
            for field in ["hostNetwork", "hostPID", "hostIPC"] {
                assert!(spec[field].is_null(), "{name}: {field}");
            }
            for container in containers(&pod) {
                let security = &container["securityContext"];
                assert_eq!(security["allowPrivilegeEscalation"], false, "{name}");
                assert_eq!(security["readOnlyRootFilesystem"], true, "{name}");
                assert_eq!(security["privileged"], false, "{name}");
                assert_eq!(security["capabilities"], json!({ "drop": ["ALL"] }), "{name}");
            }
        }
    }
    Ok(())
}

#[test]
fn every_container_has_a_version_resources_and_probes() -> anyhow::Result<()> {
    for environment in ENVIRONMENTS {
        for (name, pod) in pods(environment)? {
            for container in containers(&pod) {
                let image = text(&container["image"]);
                let (_, tag) = image.split_once(':').unwrap_or((&image, ""));
                assert!(!tag.is_empty() && !tag.starts_with("latest"), "{name}: {image}");
                assert!(image.contains("@sha256:"), "{environment} {name}: {image}");
                for kind in ["requests", "limits"] {
                    for what in ["cpu", "memory"] {
                        assert!(container["resources"][kind][what].is_string(), "{name}");
                    }
                }
                if name != "loadgenerator" {
                    assert!(container["readinessProbe"].is_object(), "{name}");
                    assert!(container["livenessProbe"].is_object(), "{name}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn the_shop_asks_for_little() -> anyhow::Result<()> {
    let mut sums = BTreeMap::<String, u64>::new();
    for (name, pod) in pods("default")? {
        if !SERVICES.contains(&name.as_str()) {
            continue;
        }
        for kind in ["requests", "limits"] {
            let resources = &pod["spec"]["containers"][0]["resources"][kind];
            let memory = text(&resources["memory"]);
            let cpu = text(&resources["cpu"]);
            let mebibytes: u64 = memory.trim_end_matches("Mi").parse()?;
            let millicores: u64 = cpu.trim_end_matches('m').parse()?;
            *sums.entry(format!("{kind} of memory in Mi")).or_default() += mebibytes;
            *sums.entry(format!("{kind} of CPU in m")).or_default() += millicores;
        }
    }
    println!("{sums:?}");
    let services = u64::try_from(SERVICES.len())?;
    assert!(sums["requests of memory in Mi"] <= 20 * services, "{sums:?}");
    assert!(sums["limits of memory in Mi"] <= 64 * services, "{sums:?}");
    Ok(())
}

#[test]
fn no_node_port_and_no_object_without_its_labels() -> anyhow::Result<()> {
    for environment in ENVIRONMENTS {
        assert!(!manifests(environment)?.contains("NodePort"), "{environment}");
        for object in objects(environment)? {
            if object["kind"] == "Namespace" || object["metadata"]["name"] == "online-boutique" {
                continue;
            }
            let mut needed = vec!["app.kubernetes.io/name", "app.kubernetes.io/part-of"];
            if object["metadata"]["name"] != "default-deny" {
                needed.extend(["app", "version", "team"]);
            }
            if environment != "default" {
                needed.push("environment");
            }
            for label in needed {
                let labels = &object["metadata"]["labels"];
                assert!(labels[label].is_string(), "{} has no {label}", object["metadata"]);
            }
        }
    }
    Ok(())
}

#[test]
fn a_pod_goes_without_losing_a_request() -> anyhow::Result<()> {
    for environment in ENVIRONMENTS {
        let budgets = of_kind(environment, "PodDisruptionBudget")?;
        for (name, workload) in workloads(environment)? {
            if !SERVICES.contains(&name.as_str()) {
                continue;
            }
            let pod = &workload["spec"]["template"]["spec"];
            let variables = variables(&workload);
            let seconds = |name: &str| variables[name].trim_end_matches('s').parse::<u64>();
            let drain = seconds("DRAIN_DELAY")? + seconds("DRAIN_TIMEOUT")?;
            assert!(Some(drain) < pod["terminationGracePeriodSeconds"].as_u64(), "{name}");

            let hard = pod["affinity"]["podAntiAffinity"]
                ["requiredDuringSchedulingIgnoredDuringExecution"]
                .is_array();
            let update = &workload["spec"]["strategy"]["rollingUpdate"];
            let expected = if hard {
                json!({ "maxSurge": 0, "maxUnavailable": 1 })
            } else {
                json!({ "maxSurge": 1, "maxUnavailable": 0 })
            };
            assert_eq!(*update, expected, "{environment} {name}");
            assert_eq!(hard, environment == "prod", "{name}");
            assert!(pod["topologySpreadConstraints"].is_array(), "{name}");

            let replicas = workload["spec"]["replicas"].as_u64();
            let asked = match environment {
                "prod" => 3,
                "staging" => 2,
                _ => 1,
            };
            assert_eq!(replicas, Some(asked), "{environment} {name}");
            assert_eq!(budgets.contains_key(&name), asked > 1, "{environment} {name}");
            if let Some(budget) = budgets.get(&name) {
                assert_eq!(budget["spec"]["maxUnavailable"], 1, "{name}");
            }
        }
    }
    Ok(())
}

/// Returns the callees of each service, by the README's table of services.
fn readme_calls() -> anyhow::Result<BTreeSet<(String, String)>> {
    let readme = read("README.md")?;
    let table = readme.split("## Services").nth(1).unwrap_or_default();
    let mut calls = BTreeSet::from([("loadgenerator".to_owned(), "frontend".to_owned())]);
    for row in table.lines().filter(|line| line.starts_with("| [")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let caller = cells[1].trim_start_matches('[').split(']').next().unwrap_or_default();
        for callee in cells[4].split(", ").filter(|callee| !callee.is_empty()) {
            let callee = match callee {
                "Redis" => "redis-cart",
                "catalog" => "productcatalogservice",
                "ads" => "adservice",
                // It is told by SMTP_URL, which nobody sets for them.
                "a mail server" => continue,
                other => &format!("{other}service"),
            };
            calls.insert((caller.to_owned(), callee.to_owned()));
        }
    }
    Ok(calls)
}

#[test]
fn the_call_graph_is_one_in_environment_policies_needs_and_readme() -> anyhow::Result<()> {
    let expected = readme_calls()?;
    assert_eq!(expected.len(), 20, "{expected:?}");
    for environment in ["default", "dev", "staging"] {
        let mut told = BTreeSet::new();
        let mut ports = BTreeMap::new();
        for (name, workload) in workloads(environment)? {
            let own = &workload["spec"]["template"]["spec"]["containers"][0]["ports"][0];
            ports.insert(name.clone(), own["containerPort"].clone());
            for (setting, value) in variables(&workload) {
                if setting.ends_with("_ADDR")
                    && let Some((host, _)) = service_address(&value).split_once(':')
                {
                    told.insert((name.clone(), host.to_owned()));
                }
            }
        }
        assert_eq!(told, expected, "{environment}");

        let (mut out, mut inward, mut open) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for (name, policy) in of_kind(environment, "NetworkPolicy")? {
            if name == "default-deny" {
                continue;
            }
            let selects = &policy["spec"]["podSelector"]["matchLabels"]["app"];
            assert_eq!(*selects, name, "{environment}");
            for rule in policy["spec"]["egress"].as_array().into_iter().flatten() {
                for peer in rule["to"].as_array().into_iter().flatten() {
                    let app = &peer["podSelector"]["matchLabels"]["app"];
                    if app.is_string() {
                        assert_eq!(rule["ports"][0]["port"], ports[&text(app)], "{name}");
                        out.insert((name.clone(), text(app)));
                    }
                }
            }
            for rule in policy["spec"]["ingress"].as_array().into_iter().flatten() {
                assert_eq!(rule["ports"][0]["port"], ports[&name], "{name}");
                match rule["from"].as_array() {
                    None => drop(open.insert(name.clone())),
                    Some(peers) => inward.extend(peers.iter().map(|peer| {
                        (text(&peer["podSelector"]["matchLabels"]["app"]), name.clone())
                    })),
                }
            }
        }
        assert_eq!(out, expected, "{environment}");
        let mut seen = expected.clone();
        if environment == "default" {
            // The LoadBalancer is for everyone.
            assert_eq!(open, BTreeSet::from(["frontend".to_owned()]));
            seen.retain(|(_, callee)| callee != "frontend");
        }
        assert_eq!(inward, seen, "{environment}");
    }

    // helmfile brings up whoever is called before who calls.
    let dag = run("helmfile", &["show-dag"])?;
    let place = |release: &str| {
        let row = dag.lines().find(|line| line.split_whitespace().nth(1) == Some(release));
        row.and_then(|line| line.split_whitespace().next()?.parse::<u32>().ok())
    };
    for (caller, callee) in &expected {
        let callee = if callee == "redis-cart" { "rediscart" } else { callee };
        assert!(place(callee).is_some() && place(callee) < place(caller), "{caller} {callee}");
    }
    Ok(())
}

/// Returns the findings of trivy and checkov in some manifests, and the number of checks that passed.
fn findings(manifests: &str) -> anyhow::Result<[(u64, Vec<String>); 2]> {
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("manifests.yaml"), manifests)?;
    let path = folder.path().join("manifests.yaml").display().to_string();

    let options = ["config", "--quiet", "--skip-check-update", "--format", "json"];
    let report: Value = serde_json::from_str(&run("trivy", &[&options[..], &[&path]].concat())?)?;
    let mut trivy = (0, Vec::new());
    for result in report["Results"].as_array().into_iter().flatten() {
        trivy.0 += result["MisconfSummary"]["Successes"].as_u64().unwrap_or_default();
        for found in result["Misconfigurations"].as_array().into_iter().flatten() {
            trivy.1.push(format!("{} {}", text(&found["ID"]), text(&found["Message"])));
        }
    }

    let options = ["--quiet", "--compact", "--framework", "kubernetes", "--output", "json"];
    let options = [&options[..], &["--skip-download", "-f"]].concat();
    let (_, report, _) = attempt("checkov", &[&options[..], &[&path]].concat())?;
    let report: Value = serde_json::from_str(&report)?;
    let failed = report["results"]["failed_checks"].as_array().into_iter().flatten();
    let failed = failed.map(|check| format!("{} {}", check["check_name"], check["resource"]));
    Ok([trivy, (report["summary"]["passed"].as_u64().unwrap_or_default(), failed.collect())])
}

#[test]
fn no_scanner_finds_anything_in_what_goes_to_prod() -> anyhow::Result<()> {
    let [trivy, checkov] = findings(&manifests("prod")?)?;
    println!("trivy: {} passed, checkov: {} passed", trivy.0, checkov.0);
    assert!(trivy.0 > 80 && trivy.1.is_empty(), "{trivy:#?}");
    assert!(checkov.0 > 800 && checkov.1.is_empty(), "{checkov:#?}");

    let weak = "allowPrivileged=true,securityContext.privileged=true";
    let weak =
        ["template", "-f", "values/frontend-values.yaml", "--set", weak, "charts/microservice"];
    let [trivy, checkov] = findings(&run("helm", &weak)?)?;
    assert!(!trivy.1.is_empty() && !checkov.1.is_empty(), "a privileged container is found");
    Ok(())
}

#[test]
fn prod_is_refused_without_digests() -> anyhow::Result<()> {
    let (rendered, _, errors) = attempt("helmfile", &["--quiet", "-e", "prod", "template"])?;
    assert!(!rendered && errors.contains("appImageDigest: required here"), "{errors}");

    let folder = tempfile::tempdir()?;
    let digests = digests(folder.path())?;
    run("helmfile", &["--quiet", "-e", "prod", "--state-values-file", &digests, "template"])?;
    Ok(())
}
