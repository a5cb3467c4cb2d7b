//! Compose and the chart tell the same shop.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::tools::{SERVICES, attempt, run, service_address, text, variables, workloads};

fn compose() -> anyhow::Result<Value> {
    let arguments = ["--profile", "load", "config", "--format", "json", "--no-path-resolution"];
    Ok(serde_json::from_str(&run("docker-compose", &arguments)?)?)
}

#[test]
fn compose_and_the_chart_have_the_same_images_ports_settings_and_memory() -> anyhow::Result<()> {
    let compose = compose()?;
    let workloads = workloads("default")?;
    for name in SERVICES.iter().chain(&["loadgenerator", "redis-cart"]) {
        let service = &compose["services"][*name];
        let container = &workloads[*name]["spec"]["template"]["spec"]["containers"][0];
        let image = text(&container["image"]);
        let (image, _digest) = image.split_once('@').unwrap_or((&image, ""));
        assert_eq!(service["image"], image, "{name}");
        let limit = text(&container["resources"]["limits"]["memory"]);
        let mebibytes: u64 = limit.trim_end_matches("Mi").parse()?;
        let memory = text(&service["deploy"]["resources"]["limits"]["memory"]);
        assert_eq!(memory.parse::<u64>()?, mebibytes << 20, "{name}");

        let mut in_cluster = variables(&workloads[*name]);
        in_cluster.retain(|setting, _| !setting.starts_with("DRAIN_"));
        in_cluster.values_mut().for_each(|value| *value = service_address(value).to_owned());
        let here = service["environment"].as_object().into_iter().flatten();
        // An empty setting counts as absent.
        let here: BTreeMap<String, String> = here
            .map(|(setting, value)| (setting.clone(), text(value)))
            .filter(|(_, value)| !value.is_empty())
            .collect();
        // A Service's port may be another than its pod's; a container has one.
        for (workload, setting, port) in
            [("loadgenerator", "FRONTEND_ADDR", "frontend:8080"), ("emailservice", "PORT", "5000")]
        {
            if *name == workload {
                in_cluster.insert(setting.to_owned(), port.to_owned());
            }
        }
        assert_eq!(here, in_cluster, "{name}");
    }
    Ok(())
}

/// With a file of settings of one's own `.env` is not read.
#[test]
fn compose_has_its_defaults_without_the_file_of_settings() -> anyhow::Result<()> {
    let arguments = ["--profile", "load", "config", "--format", "json", "--no-path-resolution"];
    let without = run("docker-compose", &[&["--env-file", "/dev/null"], &arguments[..]].concat())?;
    assert_eq!(serde_json::from_str::<Value>(&without)?, compose()?);
    Ok(())
}

#[test]
fn compose_is_as_strict_as_the_chart_and_publishes_the_frontend_alone() -> anyhow::Result<()> {
    let compose = compose()?;
    let services = compose["services"].as_object().cloned().unwrap_or_default();
    assert_eq!(services.len(), SERVICES.len() + 2);
    for (name, service) in services {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(text(&service["cap_drop"]), r#"["ALL"]"#, "{name}");
        assert_eq!(text(&service["security_opt"]), r#"["no-new-privileges:true"]"#, "{name}");
        assert!(!text(&service["user"]).starts_with('0'), "{name}");
        assert_eq!(service["ports"].is_array(), name == "frontend", "{name}");
        let has_check = service["healthcheck"]["test"].is_array();
        assert_eq!(has_check, name != "loadgenerator", "{name}");
        for (dependency, how) in service["depends_on"].as_object().into_iter().flatten() {
            assert_eq!(how["condition"], "service_healthy", "{name} {dependency}");
        }
        assert!(!text(&service["image"]).contains("latest"), "{name}");
    }
    Ok(())
}

/// Both processors' images become one under the tag that the charts pull, which is the git tag. The commands are recorded:
/// an image registry is not at hand here.
#[test]
fn released_images_have_one_tag_for_both_processors() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let docker = folder.path().join("docker");
    let recorder = "#!/bin/sh\n\
                    case $1 in compose) echo adservice redis-cart frontend | tr ' ' '\\n' ;; *) echo \"$*\" ;; esac\n";
    std::fs::write(&docker, recorder)?;
    run("chmod", &["+x".to_owned(), docker.display().to_string()])?;
    let images = |tag: &str| {
        let settings = format!("GIT_TAG={tag} PLATFORM=linux/amd64 REGISTRY=registry.example/shop");
        let path = folder.path().display();
        attempt("sh", &["-c", &format!("PATH={path}:$PATH {settings} scripts/release join")])
    };
    let (succeeded, output, errors) = images("v0.1.0")?;
    assert!(succeeded, "{errors}");
    let expected: String = ["adservice", "frontend"]
        .map(|name| {
            let image = format!("registry.example/shop/{name}:v0.1.0");
            format!("buildx imagetools create --tag {image} {image}-amd64 {image}-arm64\n")
        })
        .concat();
    assert_eq!(output, expected);
    let (succeeded, output, errors) = images("v9.9.9")?;
    assert!(!succeeded && output.is_empty(), "{output}");
    assert!(errors.contains("the git tag is v9.9.9, and IMAGE_TAG in .env is v0.1.0"), "{errors}");
    Ok(())
}
