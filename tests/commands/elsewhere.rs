//! The commands of the documents that are not run by this test.

/// Commands that another test runs: the command, the file of that test, and how it is run there.
pub(crate) const BY_OTHERS: &[(&str, &str, &str)] = &[
    ("scripts/test", ".ci/run", "scripts/test"),
    ("docker compose up --wait", "tests/delivery/compose", "check \"docker compose up --wait\" up"),
    (
        "docker compose --profile load up --wait",
        "tests/delivery/compose",
        "check \"the profile load shops by itself\" load_profile",
    ),
    ("helmfile sync", "tests/delivery/cluster", "deploys --namespace \"$space\" sync"),
    (
        "helmfile --namespace shop sync",
        "tests/delivery/cluster",
        "deploys --namespace \"$space\" sync",
    ),
    ("helmfile -e dev sync", "tests/delivery/cluster", "files -e dev sync"),
    (
        "helmfile -e dev --selector tier!=namespace sync",
        "tests/delivery/cluster",
        "--selector tier!=namespace template",
    ),
    (
        "helmfile --state-values-set metrics.enabled=true sync",
        "tests/delivery/cluster",
        "sync --state-values-set metrics.enabled=true,topology.enabled=true,faults.enabled=true",
    ),
    (
        "helmfile --state-values-set topology.enabled=true sync",
        "tests/delivery/cluster",
        "sync --state-values-set metrics.enabled=true,topology.enabled=true,faults.enabled=true",
    ),
    (
        "helmfile list && helmfile diff && helmfile destroy",
        "tests/delivery/cluster",
        "files -e dev diff",
    ),
    (
        "helm install -f values/frontend-values.yaml frontend-release charts/microservice",
        "tests/delivery/cluster",
        "install -f values/frontend-values.yaml frontend-release charts/microservice",
    ),
    ("kubectl get service frontend", "tests/delivery/cluster", "kube get service frontend"),
    (
        "kubectl port-forward svc/frontend 8080:80",
        "tests/delivery/cluster",
        "port-forward svc/frontend :80",
    ),
    (
        "kubectl apply -f release/kubernetes-manifests.yaml",
        "tests/delivery/cluster",
        "kube apply --dry-run=server --validate=strict -f release/kubernetes-manifests.yaml",
    ),
    (
        "kubectl set image deployment/cartservice server=registry.example/shop/cartservice:v0.1.0",
        "tests/delivery/cluster",
        "shop set image \"deployment/$name\"",
    ),
    (
        "scripts/scenario slow-payment --cluster NS",
        "tests/delivery/monitoring.sh",
        "scripts/scenario cart-errors --cluster",
    ),
    ("tests/cluster/up", "tests/delivery/cluster", "tests/cluster/up"),
    ("tests/cluster/down", "tests/delivery/cluster", "tests/cluster/down"),
    (
        "tests/cluster/redis-image redis:8.2.2-alpine | tests/cluster/load-image -",
        "scripts/test",
        "tests/cluster/redis-image",
    ),
    ("tests/cluster/exec kubectl get pods -A", "tests/delivery/cluster", "tests/cluster/exec"),
    ("tests/cluster/exec helmfile sync", "tests/delivery/cluster", "tests/cluster/exec"),
    (
        "target/release/recorder dataset cases --services cartservice --kinds delay,loss --repetitions 1",
        "tools/recorder/tests/rcaeval.rs",
        "\"dataset\"",
    ),
];

/// Commands that nothing runs as they are written: the command, and why.
pub(crate) const BY_NOBODY: &[(&str, &str)] = &[
    (
        "cargo run --release -p loadgenerator -- --frontend-addr localhost:8080 --rps 500 --duration 30s --p99 50ms --report load.html",
        "a release on a machine of its own; tools/loadgenerator/tests/run.rs runs each of its options",
    ),
    (
        "loadgenerator --frontend-addr localhost:8080",
        "it does not end; tests/locust and tests/shop/load.rs run its load",
    ),
    (
        "loadgenerator --frontend-addr localhost:8080 --rps 500 --duration 1m --p99 100ms --report load.html",
        "a release on a machine of its own; tools/loadgenerator/tests/run.rs runs each of its options",
    ),
    (
        "loadgenerator --frontend-addr localhost:8080 --rps 100 --find-capacity --p99 100ms",
        "minutes of full load; tools/loadgenerator/tests/run.rs finds a capacity",
    ),
    (
        "docker compose --env-file .env --env-file observability/compose/settings.env up --wait",
        "the images need a registry; its configuration is checked, its collector, Jaeger and Prometheus run in tests/shop, and Grafana is not to be had",
    ),
    (
        "docker compose --profile load build",
        "the base image needs a registry; tests/delivery/images makes each image with the last stage",
    ),
    (
        "docker compose pull redis-cart && kind load docker-image $(docker compose --profile load config --images)",
        "needs a registry and kind",
    ),
    ("docker compose --profile load push", "needs a registry"),
    (
        "helmfile sync --state-values-set imageRegistry=registry.example/shop",
        "needs a registry; the delivery's tests render it",
    ),
    (
        "helmfile --state-values-set tracing.enabled=true,tracing.collector=otel-collector.observability:4317 sync",
        "the test cluster has no collector; the delivery's tests render it, and tests/shop/traces.rs exports to one",
    ),
    (
        "cat > broken.yaml <<'YAML'\nfaults:\n  enabled: true\n  list:\n    - {name: slow-payment, rpc: hipstershop.PaymentService/Charge, delay: 2s}\nYAML",
        "the next command's file",
    ),
    (
        "helmfile --state-values-file broken.yaml sync",
        "in the cluster faults are switched on by scripts/scenario; the delivery's tests render it",
    ),
    (
        "UPDATE_PICTURES=1 cargo test -p boutique-browser-tests",
        "it changes docs/pages; the same tests compare with them",
    ),
    (
        "scripts/scenario slow-payment",
        "it compiles a release and does not end; tests/shop/scenarios.rs runs each scenario",
    ),
    (
        "scripts/scenario slow-payment --record DIR",
        "it compiles a release; tools/recorder/tests/rcaeval.rs records cases",
    ),
    (
        "TLS_CERT_FILE=tls.crt TLS_KEY_FILE=tls.key TLS_CA_FILE=ca.crt CURRENCY_SERVICE_ADDR=https://currencyservice:7000 … checkoutservice",
        "it is abbreviated; tests/shop/tls.rs starts ten processes with these settings",
    ),
    (
        "EXTRA_LATENCY=3s docker compose up --wait",
        "tests/shop/degraded.rs runs the shop with the setting",
    ),
    (
        "kubectl set env deployment/productcatalogservice deployment/frontend deployment/checkoutservice deployment/recommendationservice EXTRA_LATENCY=3s",
        "tests/shop/degraded.rs runs the shop with the setting",
    ),
    ("scripts/static images/bin", "scripts/test compiles the same into another folder"),
    (
        "for name in adservice cartservice checkoutservice currencyservice emailservice frontend loadgenerator paymentservice productcatalogservice recommendationservice shippingservice; do\n  tests/cluster/image \"localhost/$name:v0.1.0\" \"images/bin/$name\" | tests/cluster/load-image -\ndone",
        "tests/delivery/cluster loads the images that tests/delivery/compose made",
    ),
    (
        "tests/cluster/exec curl http://frontend.default.svc.cluster.local/",
        "tests/delivery/cluster asks the frontend in a namespace of its own",
    ),
    (
        "tests/cluster/forward 8080 frontend.default.svc.cluster.local:80",
        "for a browser; it does not end",
    ),
    (
        "scripts/benchmark",
        "an hour; tools/benchmark/tests/run.rs runs the program that it compiles",
    ),
    (
        "scripts/benchmark --growth --report benchmark.html --json benchmark.json",
        "an hour; tools/benchmark/tests/run.rs runs the program that it compiles",
    ),
    (
        "target/measured/benchmark measure --target localhost:8080 --label upstream --meter frontend=1234 --meter cartservice=/sys/fs/cgroup/shop/cart --redis-meter 1240",
        "it needs another shop that runs; tools/benchmark/tests/run.rs measures one by its address",
    ),
    ("cargo build --release --workspace --bins", "tests run the same programs of a debug build"),
    (
        "target/release/recorder dataset cases",
        "seven hours; tools/recorder/tests/rcaeval.rs records a part",
    ),
    (
        "target/release/recorder case --service paymentservice --fault slow --faults scenarios/slow-payment.yaml cases",
        "tools/recorder/tests/rcaeval.rs records cases of a data set",
    ),
];
