//! Scraping of metrics, and the export of spans.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::tools::{SERVICES, all_of, documents, root, run, text, variables};

/// The Services that a ServiceMonitor finds, and that have the port it names.
fn scraped_services(objects: &[Value]) -> Vec<&Value> {
    let monitors = all_of(objects, "ServiceMonitor");
    let wanted = monitors[0]["spec"]["selector"]["matchLabels"].as_object();
    let port = &monitors[0]["spec"]["endpoints"][0]["port"];
    all_of(objects, "Service")
        .into_iter()
        .filter(|service| {
            let labels = &service["metadata"]["labels"];
            let ports = service["spec"]["ports"].as_array().into_iter().flatten();
            wanted.into_iter().flatten().all(|(key, value)| labels[key] == *value)
                && ports.clone().any(|found| found["name"] == *port)
        })
        .collect()
}

#[test]
fn every_pod_is_scraped_once_in_every_combination() -> anyhow::Result<()> {
    let mut tried = 0;
    for service_type in ["ClusterIP", "LoadBalancer", "none"] {
        for external in [false, true] {
            for headless in [false, true] {
                for protocol in ["auto", "grpc", "http", "none"] {
                    let has_service = service_type != "none" && protocol != "none";
                    if !has_service && (external || headless) {
                        continue;
                    }
                    let set = format!(
                        "metrics.enabled=true,serviceMonitor.enabled=true,serviceType={service_type},\
                         externalService.enabled={external},headlessService.enabled={headless},\
                         protocol={protocol}"
                    );
                    let arguments = ["template", "-f", "values/cart-service-values.yaml", "--set"];
                    let arguments = [&arguments[..], &[&set, "charts/microservice"]].concat();
                    let objects = documents(&run("helm", &arguments)?)?;
                    let scraped = scraped_services(&objects);
                    assert_eq!(scraped.len(), 1, "{set}");
                    let pod = &all_of(&objects, "Deployment")[0]["spec"]["template"];
                    let selector = &scraped[0]["spec"]["selector"];
                    assert_eq!(selector["app"], pod["metadata"]["labels"]["app"], "{set}");
                    assert_eq!(scraped[0]["spec"]["type"], "ClusterIP", "{set}");
                    let ports = pod["spec"]["containers"][0]["ports"].as_array();
                    let metrics =
                        ports.into_iter().flatten().filter(|port| port["name"] == "metrics");
                    assert_eq!(metrics.count(), 1, "{set}");
                    tried += 1;
                }
            }
        }
    }
    assert_eq!(tried, 3 * 4 * 2 + 3 + 3);
    Ok(())
}

/// The whole shop, with these lines more in the values that all releases share.
fn shop_with(lines: &str) -> anyhow::Result<Vec<Value>> {
    let folder = tempfile::tempdir()?;
    let copy = |from: &str| {
        let to = folder.path().join(from);
        run("cp", &["-R".to_owned(), from.to_owned(), to.display().to_string()])
    };
    for part in
        ["charts", "values", "scripts", "observability", "helmfile.yaml", "namespace.helmfile.yaml"]
    {
        copy(part)?;
    }
    copy("helm-defaults.yaml.gotmpl")?;
    let common = folder.path().join("values/common-values.yaml");
    let shared = std::fs::read_to_string(root().join("values/common-values.yaml"))?;
    std::fs::write(&common, shared + lines)?;
    let helmfile = folder.path().join("helmfile.yaml").display().to_string();
    documents(&run("helmfile", &["--quiet", "-f", &helmfile, "template"])?)
}

#[test]
fn one_state_value_brings_monitors_alerts_and_dashboards() -> anyhow::Result<()> {
    let arguments = ["--quiet", "--state-values-set", "metrics.enabled=true", "template"];
    let objects = documents(&run("helmfile", &arguments)?)?;
    assert_eq!(all_of(&objects, "ServiceMonitor").len(), SERVICES.len());
    let rules = all_of(&objects, "PrometheusRule");
    assert_eq!(rules.len(), 1);
    let groups = rules[0]["spec"]["groups"].as_array().into_iter().flatten();
    let alerts = groups.flat_map(|group| group["rules"].as_array().into_iter().flatten());
    let alerts: Vec<&Value> = alerts.filter(|rule| rule["alert"].is_string()).collect();
    assert!(alerts.len() >= 10, "{alerts:?}");
    let summary = alerts[0]["annotations"]["summary"].to_string();
    assert!(summary.contains("{{ $value"), "Prometheus's template is left to it: {summary}");
    let is_board = |map: &&Value| map["metadata"]["labels"]["grafana_dashboard"] == "1";
    let boards = all_of(&objects, "ConfigMap").into_iter().find(is_board);
    for name in ["shop", "service", "checkout"] {
        let path = root().join(format!("observability/dashboards/{name}.json"));
        let board = boards.map(|boards| text(&boards["data"][format!("{name}.json")]));
        assert_eq!(board, Some(std::fs::read_to_string(path)?), "{name}");
    }
    Ok(())
}

#[test]
fn one_state_value_shows_the_topology_of_every_pod() -> anyhow::Result<()> {
    let arguments = ["--quiet", "--state-values-set", "topology.enabled=true", "template"];
    let objects = documents(&run("helmfile", &arguments)?)?;
    let name = |object: &&Value| text(&object["metadata"]["name"]);
    let services: BTreeSet<String> = all_of(&objects, "Service").iter().map(name).collect();
    let mut watched = 0;
    for deployment in all_of(&objects, "Deployment") {
        let (name, variables) = (name(&deployment), variables(deployment));
        let is_watched = SERVICES.contains(&name.as_str());
        assert_eq!(variables.contains_key("ADMIN_ADDR"), is_watched, "{name}");
        let asks = variables.get("TOPOLOGY_ADMIN_ADDRS").map(String::as_str);
        let pattern = (name == "frontend").then_some("{service}-metrics:9464");
        assert_eq!(asks, pattern, "{name}");
        if is_watched {
            assert!(services.contains(&format!("{name}-metrics")), "{name}");
            watched += 1;
        }
    }
    assert_eq!(watched, SERVICES.len());
    for policy in all_of(&objects, "NetworkPolicy") {
        let name = name(&policy);
        let ingress = policy["spec"]["ingress"].as_array().into_iter().flatten();
        let rule = ingress.clone().find(|rule| rule["ports"][0]["port"] == 9464);
        let admits =
            rule.is_some_and(|rule| rule["from"].to_string().contains("\"app\":\"frontend\""));
        assert_eq!(admits, SERVICES.contains(&name.as_str()), "{name}");
        let egress = policy["spec"]["egress"].as_array().into_iter().flatten();
        let goes = egress.clone().any(|rule| rule["ports"][0]["port"] == 9464);
        assert_eq!(goes, name == "frontend", "{name}");
    }
    Ok(())
}

#[test]
fn one_value_has_the_whole_shop_scraped() -> anyhow::Result<()> {
    for kind in ["ServiceMonitor", "PodMonitor"] {
        let key = format!("{}{}", kind[..1].to_lowercase(), &kind[1..]);
        let objects =
            shop_with(&format!("metrics: {{enabled: true}}\n{key}: {{enabled: true}}\n"))?;
        let name = |object: &&Value| text(&object["metadata"]["name"]);
        let scraped: BTreeSet<String> = all_of(&objects, kind).iter().map(name).collect();
        assert_eq!(scraped, SERVICES.map(str::to_owned).into(), "{kind}");
        for deployment in all_of(&objects, "Deployment") {
            let port = variables(deployment).get("ADMIN_ADDR").cloned();
            let is_scraped = scraped.contains(&name(&deployment));
            assert_eq!(port.as_deref(), is_scraped.then_some(":9464"), "{}", name(&deployment));
        }
        for policy in all_of(&objects, "NetworkPolicy") {
            let rules = policy["spec"]["ingress"].as_array().into_iter().flatten();
            let rule = rules.clone().find(|rule| rule["ports"][0]["port"] == 9464);
            let from = rule.map(|rule| rule["from"].to_string());
            let monitoring = r#"[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"monitoring"}}}]"#;
            let is_scraped = scraped.contains(&name(&policy));
            assert_eq!(from.as_deref(), is_scraped.then_some(monitoring), "{}", name(&policy));
        }
    }
    Ok(())
}

#[test]
fn one_value_sends_the_whole_shops_spans() -> anyhow::Result<()> {
    let objects = shop_with("tracing: {enabled: true, collector: \"otel.observability:4317\"}\n")?;

    let mut senders = BTreeSet::new();
    for deployment in all_of(&objects, "Deployment") {
        let variables = variables(deployment);
        if variables.get("ENABLE_TRACING").is_some_and(|value| value == "1") {
            assert_eq!(variables["COLLECTOR_SERVICE_ADDR"], "otel.observability:4317");
            senders.insert(text(&deployment["metadata"]["name"]));
        }
    }
    assert_eq!(senders, SERVICES.map(str::to_owned).into());
    for policy in all_of(&objects, "NetworkPolicy") {
        let goes = policy["spec"]["egress"].to_string().contains("\"observability\"");
        let name = text(&policy["metadata"]["name"]);
        assert_eq!(goes, senders.contains(&name), "{name}");
    }
    Ok(())
}
