# shellcheck shell=bash disable=SC2154
# The shop under the Prometheus Operator. Sourced by `cluster`, whose words it uses.

# Brings up the operator and a Prometheus, whose images the cluster's tools have compiled.
operator_runs() {
  load "$cache"/boutique-cluster/prometheus{,-operator,-config-reloader}.tar
  kube apply --server-side --force-conflicts -f "$cache/boutique-cluster/prometheus-operator-crds"
  kube wait --for condition=Established --timeout 30s crd --all
  local version
  version=$("$cache/boutique-cluster/bin/prometheus-static" --version 2>&1 | sed -nE 's/^prometheus, version ([0-9.]+).*/v\1/p')
  [[ -n $version ]]
  sed "s/\${prometheus}/$version/" tests/delivery/monitoring.yaml | kube apply -f -
  kube --namespace monitoring rollout status deployment/prometheus-operator --timeout 90s
  eventually 60 kube --namespace monitoring get statefulset/prometheus-shop
  kube --namespace monitoring rollout status statefulset/prometheus-shop --timeout 120s
}

# prometheus PATH FILTER: what it answers there, through jq.
prometheus() {
  local ip
  ip=$(kube --namespace monitoring get pod prometheus-shop-0 -o jsonpath='{.status.podIP}')
  in_cluster curl --silent --fail --max-time 5 "http://$ip:9090/api/v1/$1" | jq --exit-status --raw-output "$2"
}

# targets COUNT: so many targets of the shop are up, each pod is one, and the rules of the shop are loaded without an error.
targets() {
  local monitor
  # People wait for half a minute; a check does not.
  for monitor in $(shop get servicemonitors -o name); do
    shop patch "$monitor" --type json --patch '[{"op": "replace", "path": "/spec/endpoints/0/interval", "value": "2s"}]'
  done
  eventually 120 targets_are_up "$1"
  [[ $(prometheus targets '[.data.activeTargets[].labels.pod] | unique | length') == "$1" ]]
  prometheus rules '[.data.groups[].rules[] | select(.type == "alerting")] | length > 10'
  prometheus rules '[.data.groups[].rules[] | select(.lastError != null and .lastError != "")] | length == 0'
}
targets_are_up() {
  prometheus targets '.data.activeTargets | map(select(.health == "up")) | length' | grep -qx "$1"
}

# The alert of a service that fails, at a shorter window, comes and goes with the scenario that fails it.
alert_comes_and_goes() {
  shop get prometheusrule frontend -o json |
    jq '.spec.groups |= map(.rules |= map(if .for then .for = "4s" else . end | .expr |= gsub("\\[5m\\]"; "[20s]")))' |
    shop apply -f -
  begin_buying --wait-min 0.1 --wait-max 0.3 --check status --max-error-ratio 1
  eventually 60 eval "prometheus rules '[.data.groups[].rules[] | select(.name == \"ServiceFails\")][0].duration' | grep -qx 4"
  firing 0
  in_cluster scripts/scenario cart-errors --cluster "$space"
  eventually 150 firing 1
  in_cluster scripts/scenario off --cluster "$space"
  eventually 150 firing 0
  end_buying 100
}
# firing COUNT: so many alerts say that the cart service fails.
firing() {
  prometheus alerts '[.data.alerts[] | select(.state == "firing" and .labels.alertname == "ServiceFails" and
    .labels.service_name == "cartservice")] | length' | grep -qx "$1"
}
operator_ends() {
  kube delete namespace monitoring --wait=false
  kube delete clusterrolebinding monitoring
}
