//! Charts and manifests inside those of others: as subcharts, under kustomize, on any runtime.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use crate::tools::{
    SERVICES, all_of, attempt, documents, example, manifests, read, root, run, text, variables,
};

const PARENTS_VALUES: &str = "\
global: {imageRegistry: registry.example}
tags: {shop: true}
cart:
  enabled: true
  appName: cartservice
  appImage: cartservice
  containerPort: 7070
  containerEnvVars: [{name: REDIS_ADDR, value: 'redis-cart:6379'}]
  networkPolicy: {egressTo: [{app: redis-cart, port: 6379}]}
ad: {enabled: false, appName: adservice, appImage: adservice, containerPort: 9555}
";

#[test]
fn the_charts_can_be_parts_of_another() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    run("cp", &["-R", "charts", &folder.path().display().to_string()])?;
    let parent = folder.path().join("parent");
    std::fs::create_dir_all(parent.join("templates"))?;
    // What the documentation shows, and the same chart once more under another name.
    let twice = "  - {name: microservice, alias: ad, version: 0.1.0, repository: 'file://../charts/microservice', \
                 condition: ad.enabled, tags: [shop]}\n";
    std::fs::write(parent.join("Chart.yaml"), example("Chart.yaml")? + twice)?;
    std::fs::write(parent.join("values.yaml"), PARENTS_VALUES)?;
    let path = parent.display().to_string();
    run("helm4", &["dependency", "update", "--skip-refresh", &path])?;
    for helm in ["helm3", "helm4"] {
        let names = |set: &str| -> anyhow::Result<BTreeSet<String>> {
            let objects = documents(&run(helm, &["template", "shop", &path, "--set", set])?)?;
            let workloads = objects.iter().filter(|object| object["kind"] == "Deployment");
            Ok(workloads.map(|object| text(&object["metadata"]["name"])).collect())
        };
        let set = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(names("ad.enabled=false")?, set(&["cartservice", "redis-cart"]), "{helm}");
        assert_eq!(names("ad.enabled=true,cart.enabled=false")?, set(&["adservice", "redis-cart"]));
        assert_eq!(names("tags.shop=false,cart.enabled=null")?, set(&[]), "{helm}");

        let arguments = ["template", "shop", &path, "--set", "cart.appReplica=2"];
        let (rendered, _, errors) = attempt(helm, &arguments)?;
        assert!(!rendered && errors.contains("the nearest one is 'appReplicas'"), "{errors}");
    }
    Ok(())
}

/// Returns the plain manifest after the documentation's kustomization.
fn kustomized(kustomization: &str) -> anyhow::Result<Vec<Value>> {
    let folder = tempfile::tempdir()?;
    for file in ["kubernetes-manifests.yaml", "replacements.yaml"] {
        std::fs::copy(root().join("release").join(file), folder.path().join(file))?;
    }
    std::fs::write(folder.path().join("kustomization.yaml"), kustomization)?;
    documents(&run("kubectl", &["kustomize", &folder.path().display().to_string()])?)
}

/// Returns true if a selector of labels, in either of its forms, matches some labels.
fn picks(selector: &Value, labels: &Value) -> bool {
    let equal = selector["matchLabels"].as_object().into_iter().flatten();
    let listed = selector["matchExpressions"].as_array().into_iter().flatten();
    equal.clone().all(|(key, value)| labels[key] == *value)
        && listed.clone().all(|expression| {
            let value = &labels[text(&expression["key"]).as_str()];
            expression["values"].as_array().is_some_and(|values| values.contains(value))
        })
}

#[test]
fn the_plain_manifest_survives_kustomize() -> anyhow::Result<()> {
    let new = "labels: [{pairs: {course: mesh}, includeSelectors: true}]";
    for labels in [new, "commonLabels: {course: mesh}"] {
        let objects = kustomized(&example("kustomization.yaml")?.replace(new, labels))?;
        let services: BTreeMap<String, &Value> = all_of(&objects, "Service")
            .into_iter()
            .map(|service| (text(&service["metadata"]["name"]), service))
            .collect();
        let deployments = all_of(&objects, "Deployment");
        // Beside the services the load generator and Redis; and Redis and the frontend for those outside.
        assert_eq!(deployments.len(), SERVICES.len() + 2);
        assert_eq!(services.len(), SERVICES.len() + 2);
        let mut addresses = 0;
        for deployment in &deployments {
            let pod = &deployment["spec"]["template"];
            for (setting, value) in variables(deployment) {
                if !setting.ends_with("_ADDR") {
                    continue;
                }
                let (host, port) = value.split_once(':').unwrap_or_default();
                let service = services.get(host).unwrap_or_else(|| panic!("{setting}={value}"));
                assert_eq!(text(&service["spec"]["ports"][0]["port"]), port, "{setting}");
                addresses += 1;
            }
            let labels = &pod["metadata"]["labels"];
            assert!(picks(&deployment["spec"]["selector"], labels));
            let policies = all_of(&objects, "NetworkPolicy");
            let own =
                policies.iter().filter(|policy| picks(&policy["spec"]["podSelector"], labels));
            assert_eq!(own.count(), 1, "{}", deployment["metadata"]);
        }
        assert_eq!(addresses, 20);
        let dns = serde_json::json!({ "k8s-app": "kube-dns" });
        for policy in all_of(&objects, "NetworkPolicy") {
            let name = &policy["metadata"]["name"];
            if name == "demo-redis-cart" {
                continue;
            }
            let peers = policy["spec"]["egress"][0]["to"].as_array().cloned().unwrap_or_default();
            assert!(picks(&peers[0]["podSelector"], &dns), "{name}: {peers:?}");
            // Those who may come in are pods of the shop, by the labels that they now have.
            for rule in policy["spec"]["ingress"].as_array().into_iter().flatten() {
                for peer in rule["from"].as_array().into_iter().flatten() {
                    let is_caller = |deployment: &&&Value| {
                        picks(
                            &peer["podSelector"],
                            &deployment["spec"]["template"]["metadata"]["labels"],
                        )
                    };
                    assert!(deployments.iter().filter(is_caller).count() == 1, "{name}: {peer}");
                }
            }
        }
        let images: Vec<String> = deployments
            .iter()
            .map(|deployment| {
                text(&deployment["spec"]["template"]["spec"]["containers"][0]["image"])
            })
            .collect();
        assert!(images.contains(&"registry.example/shop/frontend:v0.1.0".to_owned()), "{images:?}");
    }
    Ok(())
}

/// A runtime without a list of registries refuses short names.
#[test]
fn every_image_is_named_in_full() -> anyhow::Result<()> {
    let full = |image: &str| {
        let registry = image.split_once('/').map_or("", |(registry, _)| registry);
        registry == "localhost" || registry.contains(['.', ':'])
    };
    let mut seen = 0;
    for text in [read("release/kubernetes-manifests.yaml")?, manifests("dev")?, manifests("prod")?]
    {
        for line in text.lines() {
            if let Some(image) = line.trim_start().trim_start_matches("- ").strip_prefix("image: ")
            {
                assert!(full(image), "{image}");
                seen += 1;
            }
        }
    }
    // Redis in all three, the load generator in two.
    assert_eq!(seen, 3 * SERVICES.len() + 5);
    for line in run("docker-compose", &["--profile", "load", "config", "--images"])?.lines() {
        assert!(full(line), "{line}");
    }
    for line in read("Dockerfile")?.lines() {
        if let Some(image) = line.strip_prefix("FROM ") {
            let image = image.split(' ').next().unwrap_or_default();
            assert!(full(image) || ["scratch", "${BINARIES}"].contains(&image), "{image}");
        }
    }
    // A registry that is told takes the place of the default, and a name that has one keeps it.
    let image = |set: &str| -> anyhow::Result<String> {
        let path = Path::new("values/ad-service-values.yaml").display().to_string();
        let objects = documents(&run(
            "helm",
            &["template", "-f", &path, "--set", set, "charts/microservice"],
        )?)?;
        let workload = all_of(&objects, "Deployment")[0].clone();
        Ok(text(&workload["spec"]["template"]["spec"]["containers"][0]["image"]))
    };
    assert_eq!(
        image("imageRegistry=registry.example/shop")?,
        "registry.example/shop/adservice:v0.1.0"
    );
    assert_eq!(image("appImage=gcr.io/x/adservice,appVersion=v1")?, "gcr.io/x/adservice:v1");
    let redis = ["--quiet", "--selector", "name=rediscart", "--state-values-set"];
    let redis =
        [&redis[..], &["redisImage=registry.example/valkey,redisTag=8.1", "template"]].concat();
    assert!(run("helmfile", &redis)?.contains("image: registry.example/valkey:8.1\n"));
    Ok(())
}
