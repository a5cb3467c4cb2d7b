# shellcheck shell=bash disable=SC2154
# What people do to a running shop, and what must come of it. Sourced by `cluster`, whose words it uses.

# small HELM: a namespace in which that Helm's releases are; one workload, by helmfile.
small() {
  space=small-$1
  kube create namespace "$space" --dry-run=client -o yaml | kube apply -f -
  files --helm-binary "$1" --namespace "$space" --selector name=adservice sync
}
ad() { shop get deployment adservice -o jsonpath="{$1}"; }
ad_container() { ad ".spec.template.spec.containers[0].$1"; }

# converges HELM: whatever kubectl changed, the next sync brings back what the charts say, and leaves what they do not.
converges() {
  space=small-$1
  shop scale deployment/adservice --replicas 3
  shop set image deployment/adservice server=boutique.test/probe:1
  shop set env deployment/adservice PORT=1 EXTRA=kept
  shop set resources deployment/adservice --limits memory=65Mi
  shop annotate deployment/adservice note=kept
  shop label service/adservice team=others --overwrite
  shop patch service/adservice --type json --patch '[{"op": "replace", "path": "/spec/ports/0/targetPort", "value": 1}]'
  shop delete networkpolicy/adservice serviceaccount/adservice
  shop rollout restart deployment/adservice
  files --helm-binary "$1" --namespace "$space" --selector name=adservice sync
  [[ $(ad .spec.replicas) == 1 && $(ad_container image) == "${IMAGE_PREFIX}adservice:$IMAGE_TAG" ]]
  [[ $(ad_container 'env[?(@.name=="PORT")].value') == 9555 && $(ad_container 'env[?(@.name=="EXTRA")].value') == kept ]]
  [[ $(ad_container resources.limits.memory) == 64Mi && $(ad .metadata.annotations.note) == kept ]]
  [[ $(shop get service adservice -o jsonpath='{.metadata.labels.team} {.spec.ports[*].targetPort}') == "platform 9555" ]]
  shop get networkpolicy/adservice serviceaccount/adservice
  shop rollout status deployment/adservice --timeout 60s
  # Deleted whole, it comes again.
  shop delete deployment/adservice --wait
  files --helm-binary "$1" --namespace "$space" --selector name=adservice sync
  shop rollout status deployment/adservice --timeout 60s
}

four_ready() { [[ $(ad .status.readyReplicas) == 4 ]]; }
# scales HELM: autoscaling switched on over three pods leaves three, and what an autoscaler then made of them.
scales() {
  space=small-$1
  upgrade() { in_cluster "$helm" upgrade --namespace "$space" adservice charts/microservice --values values/ad-service-values.yaml --wait --timeout 60s "$@"; }
  local helm=$1 watcher
  upgrade --set appReplicas=3
  shop get deployment adservice --watch -o jsonpath='{.spec.replicas} {.status.readyReplicas}{"\n"}' >"$work/replicas" &
  watcher=$!
  upgrade --set autoscaling.enabled=true
  [[ $(ad .spec.replicas) == 3 ]]
  upgrade --set autoscaling.enabled=true,autoscaling.minReplicas=4
  eventually 40 four_ready
  upgrade --set autoscaling.enabled=true,autoscaling.minReplicas=2,team=others
  [[ $(ad .spec.replicas) == 4 && $(ad .metadata.labels.team) == others ]]
  kill "$watcher"
  cat "$work/replicas"
  awk '$1 < 3 { fewer = 1 } END { exit fewer || !NR }' "$work/replicas"
}

# keeps HELM: another version of the chart, and nothing else, touches no pod.
keeps() {
  space=small-$1
  local helm=$1 chart before
  in_cluster "$helm" upgrade --install --namespace "$space" rediscart charts/redis --values values/redis-values.yaml --wait --timeout 60s
  shop exec deployment/redis-cart -- redis-cli HSET somebody data x
  before=$(shop get replicasets -o name)
  for chart in microservice redis; do
    cp -R "charts/$chart" "$work/$chart"
    sed -i 's/^version: .*/version: 9.9.9/' "$work/$chart/Chart.yaml"
  done
  in_cluster "$helm" upgrade --namespace "$space" adservice "$work/microservice" --reuse-values --wait --timeout 60s
  in_cluster "$helm" upgrade --namespace "$space" rediscart "$work/redis" --reuse-values --wait --timeout 60s
  shop get deployments --show-labels | grep -c 9.9.9 | grep -x 2
  [[ $(shop get replicasets -o name) == "$before" ]]
  [[ $(shop exec deployment/redis-cart -- redis-cli HGET somebody data) == x ]]
  rm -r "$work/microservice" "$work/redis"
}

# A course's values, word by word, for a server that knows no health.
tutorial() {
  "$root/tests/cluster/image" upstream.test/emailservice:v0.2.3 "$probe" serve :8080 >"$work/tutorial.tar"
  load "$work/tutorial.tar"
  printf '%s\n' 'appName: emailservice' 'appImage: upstream.test/emailservice' 'appVersion: v0.2.3' 'appReplicas: 2' \
    'containerPort: 8080' >"$work/tutorial.yaml"
  in_cluster helm install --namespace "$space" tutorial charts/microservice --values "$work/tutorial.yaml" --wait --timeout 60s
  [[ $(shop get deployment emailservice -o jsonpath='{.status.readyReplicas}') == 2 ]]
  # One pod a host, as courses write it: a rollout ends where there are as many hosts as pods.
  in_cluster helm upgrade --namespace "$space" tutorial charts/microservice --values "$work/tutorial.yaml" --wait --timeout 60s \
    --set appReplicas=1 --set-json 'affinity={"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
      [{"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "emailservice"}}}]}}'
  shop rollout restart deployment/emailservice
  shop rollout status deployment/emailservice --timeout 60s
  in_cluster helm uninstall --namespace "$space" tutorial --wait
}

# deploys COMMAND...: helmfile, as a user with the role edit in this namespace alone.
deploys() {
  shop create rolebinding deployers --clusterrole edit --group deployers --dry-run=client -o yaml | kube apply -f -
  in_cluster env HELM_KUBEASUSER=somebody HELM_KUBEASGROUPS=deployers helmfile --quiet "$@"
}
# The namespace of an environment is not theirs to make; the rest is.
deploys_no_namespace() {
  refused 'User "somebody" cannot' deploys -e dev --selector tier=namespace sync
  deploys -e dev --selector tier!=namespace list
}

# Every values file that docs/kubernetes.md shows, in a real API server.
documentation() {
  rm -f "$work"/example*
  awk -v to="$work/example" '/^```yaml$/ { n += 1; file = to n ".yaml"; next } /^```$/ { file = "" } file { print >file }' docs/kubernetes.md
  # The operator's own definition cannot be had as a module: its name and version are checked, its fields are not.
  jq -n '{apiVersion: "apiextensions.k8s.io/v1", kind: "CustomResourceDefinition", metadata: {name: "redisreplications.redis.redis.opstreelabs.in"},
    spec: {group: "redis.redis.opstreelabs.in", scope: "Namespaced", names: {kind: "RedisReplication", plural: "redisreplications", singular: "redisreplication"},
      versions: [{name: "v1beta2", served: true, storage: true, schema: {openAPIV3Schema: {type: "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}' |
    kube apply -f -
  kube wait --for condition=Established --timeout 30s crd/redisreplications.redis.redis.opstreelabs.in
  local file shown=0
  for file in "$work"/example*.yaml; do
    if grep -q '^# ' "$file"; then continue; fi
    in_cluster helm template --namespace "$space" cart charts/microservice --values values/cart-service-values.yaml --values "$file" >"$work/rendered.yaml"
    shop apply --dry-run=server --validate=strict -f "$work/rendered.yaml"
    shown=$((shown + 1))
  done
  ((shown == 6))
}

# pod_of IMAGE INIT_IMAGE: a pod that meets the restricted standard, with an init container.
pod_of() {
  jq -n --arg image "$1" --arg init "$2" '
    {resources: {limits: {cpu: "20m", memory: "16Mi"}},
     securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: ["ALL"]}}} as $common |
    {apiVersion: "v1", kind: "Pod", metadata: {name: "images"}, spec: {
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: "RuntimeDefault"}},
      initContainers: [{name: "init", image: $init} + $common], containers: [{name: "main", image: $image} + $common]
    }}'
}
# The example of an admission policy denies images of other registries, in every kind of container, here and nowhere else.
admission() {
  local policy=$work/policy.yaml ours=registry.example/shop/x:1 theirs=boutique.test/probe:1 words="images come from registry.example/shop"
  in_cluster helm template --namespace "$space" cart charts/microservice --values values/cart-service-values.yaml \
    --values "$(grep -l ValidatingAdmissionPolicy "$work"/example*.yaml)" --show-only templates/extraobjects.yaml >"$policy"
  kube apply -f "$policy"
  denied() { pod_of "$1" "$2" | refused "$words" shop create --dry-run=server -f -; }
  # The API server learns of a policy a moment later.
  eventually 20 denied "$theirs" "$ours"
  denied "$ours" "$theirs"
  pod_of "$ours" "$ours" | shop create -f -
  refused "$words" shop debug images --image "$theirs" --profile restricted
  pod_of "$theirs" "$theirs" | kube --namespace default create --dry-run=server -f -
  shop delete pod images --wait
  kube delete -f "$policy"
}

# same FILE: what is in the file is what the API server stores of it, as GitOps tools compare: maps may get more keys,
# and lists that are merged by a key more keys in their items; other lists stay as they are.
same() {
  kube create --dry-run=client --validate=false -o json -f "$1" | jq -s . >"$work/rendered.json"
  kube apply --server-side --force-conflicts --dry-run=server -o json -f "$1" | jq -s . >"$work/stored.json"
  jq -n --slurpfile rendered "$work/rendered.json" --slurpfile stored "$work/stored.json" '
    def all: map(if .kind == "List" then .items[] else . end);
    def merged: IN("containers", "initContainers", "env", "volumes", "volumeMounts", "topologySpreadConstraints");
    def missing($stored; $path):
      if type == "object" then to_entries[] | .key as $key | .value | missing($stored[$key]?; $path + [$key])
      elif type == "array" and ($path[-1] | merged or ($path[-1] == "ports" and ($path | index("egress") or index("ingress") | not))) then
        if length == ($stored | length) then to_entries[] | .key as $place | .value | missing($stored[$place]; $path + [$place])
        else {$path, rendered: ., $stored} end
      elif . == $stored then empty
      else {$path, rendered: ., $stored} end;
    [$rendered[0] | all, ($stored[0] | all)] as [$rendered, $stored]
    | if ($rendered | length) != ($stored | length) or ($rendered | length) == 0 then error("other objects") else . end
    | [range($rendered | length) as $place | $rendered[$place] | missing($stored[$place]; [.kind, .metadata.name])]
    | if . == [] then "\($rendered | length) objects" else error(tojson) end'
}

# Everything that the charts make beside the shop as it is.
all_same() {
  local chart=charts/microservice
  {
    in_cluster helm template --namespace "$space" cart "$chart" --values values/cart-service-values.yaml --set podAntiAffinity=hard,mesh=istio \
      --set metrics.enabled=true,serviceMonitor.enabled=true,prometheusRule.enabled=true,httpRoute.enabled=true,grpcRoute.enabled=true \
      --set ingress.enabled=true,autoscaling.enabled=true,headlessService.enabled=true,externalService.enabled=true,tracing.enabled=true \
      --set 'httpRoute.parentRefs[0].name=gateway' --set 'grpcRoute.parentRefs[0].name=gateway' --set 'ingress.hosts[0]=a.example' \
      --set 'prometheusRule.groups[0].name=cart' --set 'prometheusRule.groups[0].rules[0].record=up:sum' \
      --set-string 'prometheusRule.groups[0].rules[0].expr=sum(up)'
    in_cluster helm template --namespace "$space" ad "$chart" --values values/ad-service-values.yaml --set mesh=linkerd,metrics.enabled=true,podMonitor.enabled=true
    in_cluster helm template --namespace "$space" redis charts/redis --set persistence.enabled=true,mesh=istio-ambient
    in_cluster helm template namespace charts/namespace --set "name=$space,mesh=istio" --set 'rbac.viewers[0]=support'
  } >"$work/all.yaml"
  same "$work/all.yaml"
}

# ad_service_at PORT: the caller reaches a pod of the ad service that stays; others may still be on their way down.
ad_service_at() {
  local address
  address=$(shop get pod --selector app=adservice -o json |
    jq --raw-output 'first(.items[] | select(.metadata.deletionTimestamp == null) | .status.podIP // empty)')
  [[ $address ]] || return 1
  reaches caller "$address:$1"
}
# meshes: where a mesh's port is open a connection is refused by the pod, which has no proxy here; elsewhere it is dropped.
meshes() {
  space=small-helm3
  local mesh port
  shop delete pod caller --ignore-not-found --wait
  pod caller frontend boutique.test/probe:1 serve :9000
  shop wait --for condition=Ready --timeout 30s pod/caller
  for mesh in istio-ambient=15008 linkerd=4143 =15008; do
    port=${mesh#*=}
    in_cluster helm3 upgrade --namespace "$space" adservice charts/microservice --values values/ad-service-values.yaml --set "mesh=${mesh%=*}" --wait --timeout 60s
    if [[ $mesh == =* ]]; then
      eventually 20 refused "i/o timeout" ad_service_at "$port"
    else
      eventually 20 refused "connection refused" ad_service_at "$port"
    fi
  done
  shop delete pod caller --wait
}
