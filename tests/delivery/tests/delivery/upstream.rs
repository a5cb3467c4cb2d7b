//! Parity with upstream's manifests: names, ports, labels, settings, probes.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::tools::{
    SERVICES, documents, objects, of_kind, read, run, service_address, text, variables, workloads,
};

/// A workload as upstream has it: its name, its container, the container's port, its Service's port
/// and port name (none for the load generator), and the addresses it is told.
type Workload =
    (&'static str, &'static str, u16, Option<(u16, &'static str)>, &'static [&'static str]);

const ADDRESSES: [(&str, &str); 10] = [
    ("AD_SERVICE_ADDR", "adservice:9555"),
    ("CART_SERVICE_ADDR", "cartservice:7070"),
    ("CHECKOUT_SERVICE_ADDR", "checkoutservice:5050"),
    ("CURRENCY_SERVICE_ADDR", "currencyservice:7000"),
    ("EMAIL_SERVICE_ADDR", "emailservice:5000"),
    ("PAYMENT_SERVICE_ADDR", "paymentservice:50051"),
    ("PRODUCT_CATALOG_SERVICE_ADDR", "productcatalogservice:3550"),
    ("RECOMMENDATION_SERVICE_ADDR", "recommendationservice:8080"),
    ("REDIS_ADDR", "redis-cart:6379"),
    ("SHIPPING_SERVICE_ADDR", "shippingservice:50051"),
];

const WORKLOADS: [Workload; 12] = [
    ("adservice", "server", 9555, Some((9555, "grpc")), &[]),
    ("cartservice", "server", 7070, Some((7070, "grpc")), &["REDIS_ADDR"]),
    (
        "checkoutservice",
        "server",
        5050,
        Some((5050, "grpc")),
        &[
            "CART_SERVICE_ADDR",
            "CURRENCY_SERVICE_ADDR",
            "EMAIL_SERVICE_ADDR",
            "PAYMENT_SERVICE_ADDR",
            "PRODUCT_CATALOG_SERVICE_ADDR",
            "SHIPPING_SERVICE_ADDR",
        ],
    ),
    ("currencyservice", "server", 7000, Some((7000, "grpc")), &[]),
    ("emailservice", "server", 8080, Some((5000, "grpc")), &[]),
    (
        "frontend",
        "server",
        8080,
        Some((80, "http")),
        &[
            "AD_SERVICE_ADDR",
            "CART_SERVICE_ADDR",
            "CHECKOUT_SERVICE_ADDR",
            "CURRENCY_SERVICE_ADDR",
            "PRODUCT_CATALOG_SERVICE_ADDR",
            "RECOMMENDATION_SERVICE_ADDR",
            "SHIPPING_SERVICE_ADDR",
        ],
    ),
    ("loadgenerator", "main", 0, None, &[]),
    ("paymentservice", "server", 50051, Some((50051, "grpc")), &[]),
    ("productcatalogservice", "server", 3550, Some((3550, "grpc")), &[]),
    (
        "recommendationservice",
        "server",
        8080,
        Some((8080, "grpc")),
        &["PRODUCT_CATALOG_SERVICE_ADDR"],
    ),
    ("redis-cart", "redis", 6379, Some((6379, "tcp-redis")), &[]),
    ("shippingservice", "server", 50051, Some((50051, "grpc")), &[]),
];

#[test]
fn names_ports_labels_and_settings_are_upstreams() -> anyhow::Result<()> {
    let addresses = BTreeMap::from(ADDRESSES);
    let workloads = workloads("default")?;
    let services = of_kind("default", "Service")?;
    let accounts = of_kind("default", "ServiceAccount")?;
    assert_eq!(workloads.len(), SERVICES.len() + 2);
    for (name, container_name, port, service, settings) in WORKLOADS {
        let workload = &workloads[name];
        assert_eq!(workload["spec"]["selector"]["matchLabels"], json!({ "app": name }));
        assert_eq!(workload["spec"]["template"]["metadata"]["labels"]["app"], name);
        let container = &workload["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(container["name"], container_name, "{name}");
        let image = text(&container["image"]);
        let repository = match name {
            "redis-cart" => "docker.io/library/redis".to_owned(),
            _ => format!("localhost/{name}"),
        };
        assert!(image.starts_with(&format!("{repository}:")), "{image}");
        assert_eq!(accounts.contains_key(name), name != "redis-cart", "{name}");

        let variables = variables(workload);
        for setting in settings {
            assert_eq!(service_address(&variables[*setting]), addresses[setting], "{name}");
        }
        if container_name == "server" {
            assert_eq!(variables["PORT"], port.to_string(), "{name}");
        }
        match service {
            None => assert!(!services.contains_key(name)),
            Some((service_port, port_name)) => {
                assert_eq!(container["ports"][0]["containerPort"], port, "{name}");
                let ports = &services[name]["spec"]["ports"];
                assert_eq!(ports[0]["port"], service_port, "{name}");
                assert_eq!(ports[0]["targetPort"], port, "{name}");
                assert_eq!(ports[0]["name"], port_name, "{name}");
                assert_eq!(services[name]["spec"]["selector"], json!({ "app": name }));
            }
        }
    }
    let load = variables(&workloads["loadgenerator"]);
    assert_eq!((load["FRONTEND_ADDR"].as_str(), load["USERS"].as_str()), ("frontend:80", "10"));
    assert_eq!(load["RATE"], "1");
    Ok(())
}

/// A caller balances over the pods by a headless Service, which has the port of the pods; a mesh does it by itself.
#[test]
fn callers_know_every_pod_unless_a_mesh_does() -> anyhow::Result<()> {
    let services = of_kind("default", "Service")?;
    for (name, .., settings) in WORKLOADS.into_iter().filter(|(.., s)| s.len() > 1) {
        if name == "loadgenerator" {
            continue;
        }
        let file = format!("values/{}-values.yaml", name.replace("service", "-service"));
        for (set, is_balanced) in
            [("mesh=", true), ("mesh=linkerd", false), ("clientLoadBalancing=false", false)]
        {
            let rendered =
                run("helm", &["template", "-f", &file, "--set", set, "charts/microservice"])?;
            let objects = documents(&rendered)?;
            let deployment = objects.iter().find(|object| object["kind"] == "Deployment");
            let variables = variables(deployment.unwrap_or(&Value::Null));
            for setting in settings {
                let own = BTreeMap::from(ADDRESSES)[setting];
                if !is_balanced {
                    assert_eq!(variables[*setting], own, "{name} {set}");
                    continue;
                }
                let (headless, last) = variables[*setting].split_once(';').unwrap_or_default();
                assert_eq!(last, own, "{name}");
                let (host, port) = headless.split_once(':').unwrap_or_default();
                let spec = &services[host]["spec"];
                assert_eq!(spec["clusterIP"], "None", "{name} {headless}");
                assert_eq!(spec["ports"][0]["port"].to_string(), port, "{name} {headless}");
                assert_eq!(spec["ports"][0]["targetPort"].to_string(), port, "{name} {headless}");
            }
        }
    }
    Ok(())
}

#[test]
fn probes_ask_what_upstreams_ask() -> anyhow::Result<()> {
    let workloads = workloads("default")?;
    for (name, container_name, port, ..) in WORKLOADS {
        if container_name != "server" {
            continue;
        }
        let container = &workloads[name]["spec"]["template"]["spec"]["containers"][0];
        for (probe, which) in [("readinessProbe", "readiness"), ("livenessProbe", "liveness")] {
            let probe = &container[probe];
            if name == "frontend" {
                let cookie = format!("shop_session-id=x-{which}-probe");
                let expected: Value = json!({
                    "path": "/_healthz",
                    "port": 8080,
                    "httpHeaders": [{ "name": "Cookie", "value": cookie }],
                });
                assert_eq!(probe["httpGet"], expected);
            } else {
                assert_eq!(probe["grpc"]["port"], port, "{name}");
            }
        }
    }
    Ok(())
}

/// Name and type of each Service of the frontend.
fn ways_in(objects: &[Value]) -> BTreeMap<String, String> {
    let services = objects.iter().filter(|object| object["kind"] == "Service");
    services
        .map(|object| (text(&object["metadata"]["name"]), text(&object["spec"]["type"])))
        .filter(|(name, _)| name.starts_with("frontend"))
        .collect()
}

#[test]
fn upstreams_other_way_in_is_there_where_it_is_asked_for() -> anyhow::Result<()> {
    let expected = [("frontend", "ClusterIP"), ("frontend-external", "LoadBalancer")];
    let expected = BTreeMap::from(expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    let values = ["template", "-f", "values/frontend-values.yaml", "--set"];
    let set = "serviceType=ClusterIP,externalService.enabled=true";
    let by_chart = run("helm", &[&values[..], &[set, "charts/microservice"]].concat())?;
    let by_helmfile = ["--quiet", "--state-values-set", "externalService.enabled=true", "template"];
    let by_helmfile = run("helmfile", &by_helmfile)?;
    for text in [by_chart, by_helmfile, read("release/kubernetes-manifests.yaml")?] {
        assert_eq!(ways_in(&documents(&text)?), expected);
    }
    assert_eq!(ways_in(&objects("default")?).len(), 1);
    Ok(())
}

/// The values that a course on microservices has its students write, for an image of any kind.
#[test]
fn a_tutorials_values_suit_any_server() -> anyhow::Result<()> {
    let values = "appName: emailservice\nappImage: registry.example/emailservice\nappVersion: v0.2.3\n\
                  appReplicas: 2\ncontainerPort: 8080\n";
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("values.yaml");
    std::fs::write(&path, values)?;
    let objects = documents(&run(
        "helm",
        &["template", "-f", &path.display().to_string(), "charts/microservice"],
    )?)?;
    let deployment = objects.iter().find(|object| object["kind"] == "Deployment");
    let container =
        &deployment.unwrap_or(&Value::Null)["spec"]["template"]["spec"]["containers"][0];
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert_eq!(container[probe]["tcpSocket"], json!({ "port": 8080 }), "{probe}");
    }
    // Upstream's largest limit is 450Mi, of its recommendation service.
    assert_eq!(container["resources"]["limits"]["memory"], "512Mi");
    let service = objects.iter().find(|object| object["kind"] == "Service");
    let port = &service.unwrap_or(&Value::Null)["spec"]["ports"][0];
    assert_eq!(port["appProtocol"], Value::Null, "a mesh finds the protocol out");
    assert_eq!(port["name"], "server");
    Ok(())
}
