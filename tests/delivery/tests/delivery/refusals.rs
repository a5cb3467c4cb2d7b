//! Invalid values are refused with a sentence that names the key and what is allowed.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::tools::{attempt, document, documents, examples, run};

/// Every key of a chart's values, with those below it.
fn keys(values: &Value, path: &str, found: &mut Vec<String>) {
    for (key, value) in values.as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        // A map of whatever one likes has no keys of its own.
        let open = ["quota", "labels", "requests", "limits", "default", "defaultRequest"];
        if !open.contains(&key.as_str()) || key == "limits" && path == "resources.limits" {
            keys(value, &path, found);
        }
        found.push(path);
    }
}

/// A values file that is right, for each chart.
const CHARTS: [(&str, &str); 3] = [
    ("microservice", "values/cart-service-values.yaml"),
    ("redis", "values/redis-values.yaml"),
    ("namespace", "values/namespace-dev-values.yaml"),
];

/// Each chart's templates refuse other keys, with a sentence that a schema could not give.
#[test]
fn every_key_is_in_the_schema_and_says_what_it_means() -> anyhow::Result<()> {
    for (chart, _) in CHARTS {
        let schema = document(&format!("charts/{chart}/values.schema.json"))?;
        assert!(!schema.to_string().contains("$ref"), "{chart} leans on another file");
        let values = document(&format!("charts/{chart}/values.yaml"))?;
        let mut known: BTreeSet<&String> =
            schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key).collect();
        // What Helm gives to a subchart.
        assert!(known.remove(&"global".to_owned()) && known.remove(&"enabled".to_owned()));
        let keys: BTreeSet<&String> =
            values.as_object().into_iter().flatten().map(|(key, _)| key).collect();
        assert_eq!(keys, known, "{chart}");

        let readme = crate::tools::read(&format!("charts/{chart}/README.md"))?;
        let rows: Vec<Vec<&str>> = readme
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
            .collect();
        assert_eq!(rows.len(), keys.len(), "{chart}");
        let meanings: BTreeSet<&str> = rows.iter().map(|row| *row.last().unwrap_or(&"")).collect();
        assert!(meanings.len() == rows.len() && !meanings.contains(""), "{chart}: {rows:?}");
    }
    Ok(())
}

#[test]
fn every_key_misspelt_is_refused_by_name() -> anyhow::Result<()> {
    let mut tried = 0;
    for (chart, file) in CHARTS {
        let mut all = Vec::new();
        keys(&document(&format!("charts/{chart}/values.yaml"))?, "", &mut all);
        for key in all {
            let misspelt = format!("{key}x");
            let name = misspelt.rsplit('.').next().unwrap_or_default();
            let sibling = key.rsplit('.').next().unwrap_or_default();
            let set = format!("{misspelt}=1");
            let path = format!("charts/{chart}");
            let arguments = ["template", "-f", file, "--set", &set, &path];
            let (rendered, _, errors) = attempt("helm", &arguments)?;
            assert!(!rendered, "{chart} took {misspelt}");
            assert!(errors.contains(&format!("'{name}'")), "{misspelt}: {errors}");
            assert!(errors.contains(&format!("'{sibling}'")), "{misspelt}: {errors}");
            tried += 1;
        }
    }
    println!("{tried} keys");
    assert!(tried > 150, "{tried}");
    Ok(())
}

#[test]
fn what_is_wrong_is_refused_with_what_is_allowed() -> anyhow::Result<()> {
    let rows = [
        ("appVersion=latest", "appVersion: latest is refused; give a version or a commit"),
        (
            "serviceType=NodePort",
            "'/serviceType': value must be one of 'ClusterIP', 'LoadBalancer'",
        ),
        ("resources.limits.memory=null", "resources.limits.memory: required"),
        ("appReplicas=2,podDisruptionBudget.minAvailable=2", "give less than 2"),
        (
            "autoscaling.enabled=true,autoscaling.minReplicas=6",
            "autoscaling.minReplicas: 6 is more than maxReplicas, 5; give at most that",
        ),
        ("containerPort=http", "'/containerPort': got string, want null or integer"),
        ("containerPort=70000", "'/containerPort': maximum: got 70,000, want 65,535"),
        ("appReplicas=-1", "'/appReplicas': minimum: got -1, want 0"),
        ("protocol=udp", "'/protocol': value must be one of 'auto', 'grpc', 'http', 'tcp', 'none'"),
        ("replicaCount=2", "'replicaCount'"),
        ("image.repository=x", "'image'"),
        ("containerEnvVars[0].key=A", "'name', 'service', 'value', 'valueFrom'"),
        ("containerEnvVars[1].value=7070", "want string"),
        ("appImageDigest=sha256:abc", "'/appImageDigest'"),
        ("podAntiAffinity=required", "value must be one of 'soft', 'hard', 'none'"),
        ("imagePullPolicy=Sometimes", "'IfNotPresent', 'Always', 'Never'"),
        ("metrics.enabled=true,metrics.port=7070", "metrics.port: 7070 is the containerPort"),
        (
            "extraEnv.EMAIL_SERVICE_ADDR=emailservice:5000",
            "networkPolicy.egressTo: EMAIL_SERVICE_ADDR says emailservice",
        ),
    ];
    for (set, words) in rows {
        for helm in ["helm3", "helm4"] {
            let arguments = [
                "template",
                "-f",
                "values/cart-service-values.yaml",
                "--set",
                set,
                "charts/microservice",
            ];
            let (rendered, _, errors) = attempt(helm, &arguments)?;
            assert!(!rendered && errors.contains(words), "{set}: {errors}");
        }
    }
    Ok(())
}

#[test]
fn what_goes_wrong_later_is_told_at_once() -> anyhow::Result<()> {
    let arguments =
        ["install", "--dry-run=client", "frontend", "-f", "values/frontend-values.yaml"];
    let arguments = [&arguments[..], &["charts/microservice"]].concat();
    let notes = run("helm4", &arguments)?;
    for words in ["port-forward service/frontend 8080:80", "ImagePullBackOff", "imageRegistry"] {
        assert!(notes.contains(words), "{notes}");
    }
    Ok(())
}

/// Every values file that the documentation shows; `tests/delivery/cluster` applies what comes of them.
#[test]
fn the_documentations_values_render() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut kinds = BTreeSet::new();
    for (place, example) in examples()?.iter().enumerate() {
        if example.starts_with('#') {
            continue;
        }
        let path = folder.path().join(format!("{place}.yaml"));
        std::fs::write(&path, example)?;
        let path = path.display().to_string();
        let values = ["template", "-f", "values/cart-service-values.yaml", "-f", &path];
        let rendered = run("helm", &[&values[..], &["charts/microservice"]].concat())?;
        for object in documents(&rendered)? {
            kinds.insert(crate::tools::text(&object["kind"]));
        }
    }
    for kind in [
        "ScaledObject",
        "AuthorizationPolicy",
        "RedisReplication",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ] {
        assert!(kinds.contains(kind), "no {kind}");
    }
    Ok(())
}
