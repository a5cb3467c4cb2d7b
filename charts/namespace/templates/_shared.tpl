{{/* What the charts have in common. The copies in the other charts are made by scripts/charts. */}}

{{/* The image: registry, name, tag, digest. A name that begins with a registry keeps it. */}}
{{- define "boutique.tag" -}}
{{ .Values.appVersion | default .Chart.AppVersion }}
{{- end -}}

{{- define "boutique.image" -}}
{{- if not (regexMatch "^(localhost|[^/]*[.:][^/]*)/" .Values.appImage) }}
{{- with .Values.imageRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{- end -}}
{{ .Values.appImage }}:{{ include "boutique.tag" . }}
{{- with .Values.appImageDigest }}@{{ . }}{{ end -}}
{{- end -}}

{{/* The selector is `app` alone: a Deployment's selector cannot change. */}}
{{- define "boutique.selector" -}}
app: {{ .Values.appName }}
{{- end -}}

{{/* The labels of a workload, for its pods, too: none changes with the chart, so that pods restart only for what they
     run. Called with `root` and, optionally, more `labels`. */}}
{{- define "boutique.labels" -}}
{{- $root := .root -}}
{{- $labels := dict
  "app" $root.Values.appName
  "version" (include "boutique.tag" $root)
  "team" $root.Values.team
  "environment" $root.Values.environment
  "app.kubernetes.io/name" $root.Values.appName
  "app.kubernetes.io/instance" $root.Release.Name
  "app.kubernetes.io/version" (include "boutique.tag" $root)
  "app.kubernetes.io/part-of" $root.Values.partOf
-}}
{{- range $name, $value := mergeOverwrite $labels $root.Values.labels (.labels | default dict) }}
{{- if ne (toString $value) "" }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The metadata of an object. Called with `root`, `name` and, optionally, more `labels` and `annotations`. */}}
{{- define "boutique.metadata" -}}
{{- $root := .root -}}
{{- $labels := dict "app.kubernetes.io/managed-by" $root.Release.Service "helm.sh/chart" (printf "%s-%s" $root.Chart.Name $root.Chart.Version) -}}
{{- $labels = mergeOverwrite $labels (.labels | default dict) -}}
{{- $annotations := mergeOverwrite (deepCopy $root.Values.annotations) (.annotations | default dict) -}}
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "boutique.labels" (dict "root" $root "labels" $labels) | trim | nindent 4 }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{/* Whether an API server is asked. It knows apiregistration.k8s.io, a mere rendering does not. */}}
{{- define "boutique.hasCluster" -}}
{{- if .Capabilities.APIVersions.Has "apiregistration.k8s.io/v1" }}true{{ end -}}
{{- end -}}

{{/* Egress to the cluster's DNS. Called with `dns`: `port` and `to`. */}}
{{- define "boutique.dns" -}}
- ports: [{port: {{ .port }}, protocol: UDP}, {port: {{ .port }}, protocol: TCP}]
  to:
    {{- toYaml .to | nindent 4 }}
{{- end -}}

{{/* Meshes carry traffic among pods over a port of their own: HBONE, or the inbound port of the proxy. Sources:
     istio.io/latest/docs/ops/deployment/application-requirements, istio.io/latest/docs/ambient/usage/networkpolicy,
     linkerd.io/2/common-errors/network-policy. Called with the mesh: `, {port: …}` or nothing. */}}
{{- define "boutique.mesh.port" -}}
{{- if hasPrefix "istio" . }}, {port: 15008, protocol: TCP}{{ else if eq . "linkerd" }}, {port: 4143, protocol: TCP}{{ end -}}
{{- end -}}

{{/* What else a mesh must reach of a pod. Called with `mesh` and the pod's `port`. */}}
{{- define "boutique.mesh.ingress" -}}
{{- if eq .mesh "istio" }}
# The sidecar's metrics and health; the kubelet's probes come to 15020, too.
- ports: [{port: 15020, protocol: TCP}, {port: 15021, protocol: TCP}, {port: 15090, protocol: TCP}]
  from: [{namespaceSelector: {}}]
{{- else if eq .mesh "istio-ambient" }}
# Waypoints, by the label that Istio gives them.
- ports: [{port: 15008, protocol: TCP}]
  from: [{namespaceSelector: {}, podSelector: {matchExpressions: [{key: gateway.networking.k8s.io/gateway-name, operator: Exists}]}}]
{{- with .port }}
# The kubelet's probes, which ambient mode sends from this address.
- ports: [{port: {{ . }}, protocol: TCP}]
  from: [{ipBlock: {cidr: 169.254.7.127/32}}]
{{- end }}
{{- else if eq .mesh "linkerd" }}
# The proxy's metrics and health, and its tap.
- ports: [{port: 4191, protocol: TCP}, {port: 4190, protocol: TCP}]
  from: [{namespaceSelector: {}}]
{{- end }}
{{- end -}}

{{/* What a pod's proxy must reach. Called with the mesh. */}}
{{- define "boutique.mesh.egress" -}}
{{- if eq . "istio" }}
# istiod: configuration and certificates.
- ports: [{port: 15012, protocol: TCP}]
  to: [{namespaceSelector: {}, podSelector: {matchExpressions: [{key: app, operator: In, values: [istiod]}]}}]
{{- else if eq . "istio-ambient" }}
- ports: [{port: 15008, protocol: TCP}]
  to: [{namespaceSelector: {}, podSelector: {matchExpressions: [{key: gateway.networking.k8s.io/gateway-name, operator: Exists}]}}]
{{- else if eq . "linkerd" }}
# identity, destination and policy of the control plane.
- ports: [{port: 8080, protocol: TCP}, {port: 8086, protocol: TCP}, {port: 8090, protocol: TCP}]
  to: [{namespaceSelector: {}, podSelector: {matchExpressions: [{key: linkerd.io/control-plane-component, operator: Exists}]}}]
{{- end }}
{{- end -}}

{{/* Refuses values that the schema cannot, with a sentence: unknown keys, and those whose default was removed by null.
     Called with `values`, the keys `known` of them, their `path`, and `all` known keys (the chart's `keys`). */}}
{{- define "boutique.check.keys" -}}
{{- $known := .known -}}
{{- $path := .path -}}
{{- $all := .all -}}
{{- range $key, $value := .values }}
{{- $below := get $known $key | default (get $known "*") }}
{{- if not (or (hasKey $known $key) (hasKey $known "*")) }}
{{- include "boutique.refuse.key" (dict "key" $key "known" $known "path" $path "all" $all) }}
{{- else if and (kindIs "map" $below) (kindIs "map" $value) }}
{{- include "boutique.check.keys" (dict "values" $value "known" $below "path" (printf "%s%s." $path $key) "all" $all) }}
{{- else if and (kindIs "slice" $below) (kindIs "slice" $value) }}
{{- range $place, $item := $value }}
{{- if kindIs "map" $item }}
{{- include "boutique.check.keys" (dict "values" $item "known" (first $below) "path" (printf "%s%s[%d]." $path $key $place) "all" $all) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Called with a `key` that is not known, those `known` beside it, their `path`, and `all` known keys. */}}
{{- define "boutique.refuse.key" -}}
{{- $key := .key -}}
{{- $known := keys .known | sortAlpha -}}
{{- $path := .path -}}
{{- $refused := printf "%s%s: there is no key '%s'%s" $path $key $key (ternary "" (printf " in %s" (trimSuffix "." $path)) (eq $path "")) -}}
{{- if le (len $known) 4 }}
{{- fail (printf "%s; there is '%s'" $refused (join "', '" $known)) }}
{{- end }}
{{- $sections := list -}}
{{- range $section, $below := .all }}
{{- if and (kindIs "map" $below) (hasKey $below $key) }}{{ $sections = append $sections $section }}{{ end }}
{{- end }}
{{- if and (eq (len $sections) 1) (ne $path "") }}
{{- fail (printf "%s, but in %s" $refused (first $sections)) }}
{{- end }}
{{- $nearest := "" -}}
{{- $best := 0 -}}
{{- range $candidate := $known }}
{{- $shared := 0 }}
{{- range $place := until (sub (len $key) 1 | int) }}
{{- if contains (substr $place (int (add $place 2)) $key | lower) (lower $candidate) }}{{ $shared = add1 $shared }}{{ end }}
{{- end }}
{{- $score := div (mul 2000 $shared) (add (len $key) (len $candidate)) }}
{{- if gt (int $score) $best }}{{ $best = int $score }}{{ $nearest = $candidate }}{{ end }}
{{- end }}
{{- fail (printf "%s; %s" $refused (ternary "the chart's README lists them" (printf "the nearest one is '%s'" $nearest) (eq $nearest ""))) }}
{{- end -}}

{{/* Refuses null, which removes a default; but not in what Kubernetes has defaults for. Called with
     `values`, the keys `known` of them, and their `path`. */}}
{{- define "boutique.check.null" -}}
{{- $values := .values -}}
{{- $path := .path -}}
{{- range $key, $below := .known }}
{{- $value := index $values $key }}
{{- if and (kindIs "invalid" $value) (ne (toString $below) "optional") (ne $key "*") }}
{{- fail (printf "%s%s: null removes its default; leave the key out, or give it a value" $path $key) }}
{{- else if and (kindIs "map" $below) (kindIs "map" $value) (not (has $key (list "podSecurityContext" "securityContext" "resources" "strategy" "limits"))) }}
{{- include "boutique.check.null" (dict "values" $value "known" $below "path" (printf "%s%s." $path $key)) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Refuses what Kubernetes would refuse as a label. Called with `key` and `value`. */}}
{{- define "boutique.check.label" -}}
{{- if not (regexMatch "^(([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?)$" (.value | toString)) }}
{{- fail (printf "%s: %q cannot be a label; give at most 63 letters, digits, '-', '_' and '.', the first and the last a letter or a digit" .key (.value | toString)) }}
{{- end }}
{{- end -}}

{{/* Refuses what Kubernetes would refuse as names of labels or annotations. Called with `key`, the map
     `names` and, where its values must be labels, too, `areLabels`. */}}
{{- define "boutique.check.labels" -}}
{{- $key := .key -}}
{{- $areLabels := .areLabels -}}
{{- range $name, $value := .names }}
{{- if not (regexMatch "^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$" $name) }}
{{- fail (printf "%s: %q cannot be the name of %s; give at most 63 letters, digits, '-', '_' and '.', perhaps after a domain and '/'" $key $name (ternary "an annotation" "a label" (empty $areLabels))) }}
{{- end }}
{{- if $areLabels }}{{ include "boutique.check.label" (dict "key" (printf "%s.%s" $key $name) "value" $value) }}{{ end }}
{{- end }}
{{- end -}}
