# shellcheck shell=bash disable=SC2154
# What happens to pods while people shop. Sourced by `cluster`, whose words it uses.

# begin_buying ARGS...: buyers who go on until end_buying.
begin_buying() {
  buyers "$@"
  shop wait --for condition=Ready --timeout 30s pod/buyer
  shop logs --follow buyer >"$work/bought" &
  reader=$!
}
# end_buying PERCENT: shows what they did, and fails if more of their requests failed.
end_buying() {
  shop delete pod buyer --wait
  wait "$reader"
  cat "$work/bought"
  grep Aggregated "$work/bought" | tail -n 1 | tr '(%)' ' ' | awk -v most="$1" '{ exit !($2 > 9 && $4 <= most) }'
}
old_pods_gone() {
  ! shop get pods -o jsonpath='{range .items[*]}{.metadata.deletionTimestamp}{"\n"}{end}' | grep .
}

# Restarts everything.
roll() {
  begin_buying --wait-min 0.1 --wait-max 0.3
  shop rollout restart deployment --selector app.kubernetes.io/part-of=online-boutique,app!=redis-cart,app!=loadgenerator
  local name
  for name in $(shop get deployments -o name --selector app!=redis-cart,app!=loadgenerator); do
    shop rollout status "$name" --timeout 120s
  done
  eventually 60 old_pods_gone
  end_buying 0
}

# Three pods instead of one share the calls of those who called one, and none is lost as two of them go. On an idle node
# each answers a third within a tenth of it; a pod that is slow on a busy one is spared.
spreads() {
  local log=(deployment/productcatalogservice --containers server)
  shop set env "${log[@]}" RUST_LOG=debug
  shop rollout status deployment/productcatalogservice --timeout 60s
  begin_buying --wait-min 0 --wait-max 0.1
  shop scale deployment/productcatalogservice --replicas 3
  shop rollout status deployment/productcatalogservice --timeout 60s
  eventually 15 all_three_called
  sleep 5 # Until all callers know all three, by names that are kept for five seconds.
  calls >"$work/before"
  eventually 60 enough_calls
  shop scale deployment/productcatalogservice --replicas 1
  eventually 60 old_pods_gone
  shop set env "${log[@]}" RUST_LOG-
  shop rollout status deployment/productcatalogservice --timeout 60s
  end_buying 0
  join "$work/before" "$work/after" | tee "$work/shares"
  awk '{ calls[NR] = $3 - $2; all += $3 - $2 }
    END { for (i in calls) if (calls[i] < 0.6 * all / 3 || calls[i] > 1.4 * all / 3) exit 1; exit NR != 3 }' "$work/shares"
}
# calls: how many calls each pod of the catalog has answered.
calls() {
  local pod
  for pod in $(shop get pods --selector app=productcatalogservice -o name | sort); do
    echo "$pod $(shop logs --tail -1 "$pod" | grep -c 'answered hipstershop.ProductCatalogService')"
  done
}
all_three_called() { calls | awk '$2 > 0 { called++ } END { exit called != 3 }'; }
enough_calls() {
  calls >"$work/after"
  join "$work/before" "$work/after" | awk '{ all += $3 - $2 } END { exit all < 5000 }'
}

# The oldest of three pods of the catalog is stopped for a while, as by a host that hangs.
freezes() {
  shop scale deployment/productcatalogservice --replicas 3
  shop rollout status deployment/productcatalogservice --timeout 60s
  begin_buying --wait-min 0 --wait-max 0.1
  sleep 8 # Until callers know all three, by names that are kept for five seconds.
  local pods frozen
  mapfile -t pods < <(shop get pods --selector app=productcatalogservice --sort-by .metadata.creationTimestamp -o name)
  frozen=$(process_of "${pods[0]}")
  kill -STOP "$frozen"
  sleep 8
  kill -CONT "$frozen"
  sleep 2
  end_buying 0.5
  shop scale deployment/productcatalogservice --replicas 1
  eventually 60 old_pods_gone
}

# process_of POD: the process of one of our pods, as this machine sees it.
process_of() {
  local uid process
  uid=$(shop get "$1" -o jsonpath='{.metadata.uid}')
  for process in $(pgrep -x service); do
    # systemd writes it with underscores.
    if tr _ - <"/proc/$process/cgroup" | grep --quiet "$uid"; then
      echo "$process"
      return
    fi
  done
  return 1
}

# Load makes an autoscaler add pods to a service of pages and to one of RPCs, and take them away once it is less.
autoscales() {
  local name scaled=(frontend productcatalogservice)
  eventually 30 kube get --raw /apis/metrics.k8s.io/v1beta1
  for name in "${scaled[@]}"; do
    in_cluster helm upgrade --namespace "$space" "$name" charts/microservice --reuse-values \
      --set autoscaling.enabled=true,autoscaling.minReplicas=1,autoscaling.maxReplicas=3 \
      --set autoscaling.behavior.scaleDown.stabilizationWindowSeconds=5
  done
  begin_buying --wait-min 0 --wait-max 0.1
  eventually 120 has_pods 3 "${scaled[@]}"
  end_buying 0
  begin_buying --wait-min 1 --wait-max 2
  eventually 150 has_pods 1 "${scaled[@]}"
  eventually 60 old_pods_gone
  end_buying 0
  for name in "${scaled[@]}"; do
    in_cluster helm rollback --namespace "$space" "$name" --wait --timeout 60s
  done
}
# has_pods NUMBER DEPLOYMENT...: each has so many that are ready.
has_pods() {
  local number=$1
  shift
  shop get deployments "$@" -o jsonpath='{range .items[*]}{.status.replicas} {.status.readyReplicas}{"\n"}{end}' |
    awk -v number="$number" '$1 != number || $2 != number { wrong = 1 } END { exit wrong || !NR }'
}
