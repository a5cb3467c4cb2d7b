{{/* What a schema cannot say, each refusal a sentence that names the key and what is allowed. Every file of objects asks
     first, because Helm renders them in any order; once is enough. */}}

{{- define "microservice.validate" -}}
{{- if not .Values.validated }}
{{- $keys := include "microservice.keys" . | fromJson }}
{{- include "boutique.check.keys" (dict "values" .Values "known" $keys "path" "" "all" $keys) }}
{{- include "boutique.check.null" (dict "values" .Values "known" $keys "path" "") }}
{{- include "microservice.validate.labels" . }}
{{- include "microservice.validate.image" . }}
{{- include "microservice.validate.port" . }}
{{- include "microservice.validate.pods" . }}
{{- include "microservice.validate.resources" . }}
{{- include "microservice.validate.security" . }}
{{- include "microservice.validate.callgraph" . }}
{{- include "microservice.validate.cluster" . }}
{{- $_ := set .Values "validated" true }}
{{- end }}
{{- end -}}

{{- define "microservice.validate.labels" -}}
{{- range list "team" "environment" "partOf" }}
{{- include "boutique.check.label" (dict "key" . "value" (get $.Values .)) }}
{{- end }}
{{- include "boutique.check.label" (dict "key" "appVersion" "value" (include "boutique.tag" .)) }}
{{- range list "labels" "podLabels" "nodeSelector" }}
{{- include "boutique.check.labels" (dict "key" . "names" (get $.Values .) "areLabels" true) }}
{{- end }}
{{- range list "annotations" "podAnnotations" "serviceAnnotations" }}
{{- include "boutique.check.labels" (dict "key" . "names" (get $.Values .)) }}
{{- end }}
{{- range list "serviceMonitor" "podMonitor" "prometheusRule" "dashboard" }}
{{- include "boutique.check.labels" (dict "key" (printf "%s.labels" .) "names" (get $.Values .).labels "areLabels" true) }}
{{- end }}
{{- range list "externalService" "ingress" "httpRoute" "grpcRoute" "serviceAccount" }}
{{- include "boutique.check.labels" (dict "key" (printf "%s.annotations" .) "names" (get $.Values .).annotations) }}
{{- end }}
{{- end -}}

{{- define "microservice.validate.image" -}}
{{- if eq (include "boutique.tag" .) "latest" }}
{{- fail "appVersion: latest is refused; give a version or a commit" }}
{{- end }}
{{- if and .Values.requireImageDigest (not .Values.appImageDigest) }}
{{- fail (printf "appImageDigest: required here, because requireImageDigest is set; give the sha256:… of %s" (include "boutique.image" .)) }}
{{- end }}
{{- end -}}

{{- define "microservice.validate.port" -}}
{{- if and (ne .Values.protocol "none") (not .Values.containerPort) }}
{{- fail (printf "containerPort: required for protocol %s; give a port, or set protocol to none" .Values.protocol) }}
{{- end }}
{{- if and .Values.metrics.enabled (eq (toString .Values.metrics.port) (toString .Values.containerPort)) }}
{{- fail (printf "metrics.port: %v is the containerPort; give another" .Values.metrics.port) }}
{{- end }}
{{- range $name, $has := dict "external" .Values.externalService.enabled "headless" .Values.headlessService.enabled "metrics" .Values.metrics.enabled }}
{{- if and $has (gt (len (printf "%s-%s" $.Values.appName $name)) 63) }}
{{- fail (printf "appName: the Service %s-%s would have more than 63 letters; give a shorter name" $.Values.appName $name) }}
{{- end }}
{{- end }}
{{- if not (include "microservice.hasService" .) }}
{{- range list "externalService" "headlessService" "ingress" "httpRoute" "grpcRoute" }}
{{- if (get $.Values .).enabled }}
{{- fail (printf "%s.enabled: needs a Service; set serviceType to ClusterIP or LoadBalancer, and a protocol other than none" .) }}
{{- end }}
{{- end }}
{{- end }}
{{- range list "serviceMonitor" "podMonitor" }}
{{- if and (get $.Values .).enabled (not $.Values.metrics.enabled) }}
{{- fail (printf "%s.enabled: needs metrics.enabled" .) }}
{{- end }}
{{- end }}
{{- if and .Values.faults.list (not .Values.faults.enabled) }}
{{- fail "faults.list: needs faults.enabled" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}
{{- fail "podMonitor.enabled: the ServiceMonitor scrapes already; enable one of the two" }}
{{- end }}
{{- end -}}

{{- define "microservice.validate.pods" -}}
{{- $fewest := include "microservice.fewest" . | int }}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) }}
{{- fail (printf "autoscaling.minReplicas: %v is more than maxReplicas, %v; give at most that" .Values.autoscaling.minReplicas .Values.autoscaling.maxReplicas) }}
{{- end }}
{{- with .Values.podDisruptionBudget }}
{{- if and (ne (toString .minAvailable) "") (ne (toString .maxUnavailable) "") }}
{{- fail "podDisruptionBudget.maxUnavailable: give this or minAvailable, not both" }}
{{- end }}
{{- if has (toString .maxUnavailable) (list "0" "0%") }}
{{- fail "podDisruptionBudget.maxUnavailable: 0 would block every drain of a node; give at least 1" }}
{{- end }}
{{- if eq (toString .minAvailable) "100%" }}
{{- fail "podDisruptionBudget.minAvailable: 100% would block every drain of a node; give less" }}
{{- end }}
{{- if and .enabled (gt $fewest 1) (regexMatch "^[0-9]+$" (toString .minAvailable)) (ge (int .minAvailable) $fewest) }}
{{- fail (printf "podDisruptionBudget.minAvailable: %v of %d pods would block every drain of a node; give less than %d" .minAvailable $fewest $fewest) }}
{{- end }}
{{- end }}
{{- if and (include "microservice.onePerHost" .) .Values.strategy (ne (toString (dig "rollingUpdate" "maxSurge" "" .Values.strategy)) "0") (ne (get .Values.strategy "type") "Recreate") }}
{{- fail "strategy.rollingUpdate.maxSurge: with one pod a host (podAntiAffinity hard, or a required affinity) a surge needs a spare host and may wait for ever; give 0, or leave strategy out" }}
{{- end }}
{{- $most := ternary .Values.autoscaling.maxReplicas .Values.appReplicas .Values.autoscaling.enabled | int }}
{{- if and .Values.sharedStore (gt $most 1) (not (include "microservice.isSet" (dict "root" . "name" .Values.sharedStore))) }}
{{- fail (printf "%s: %d pods would each remember something else; set %s to the store that they share, or give 1" (ternary "autoscaling.maxReplicas" "appReplicas" .Values.autoscaling.enabled) $most .Values.sharedStore) }}
{{- end }}
{{- $needed := add (int .Values.drainDelaySeconds) (int .Values.drainTimeoutSeconds) }}
{{- if and (ne .Values.protocol "none") (le (int .Values.terminationGracePeriodSeconds) (int $needed)) }}
{{- fail (printf "terminationGracePeriodSeconds: %v does not outlast drainDelaySeconds and drainTimeoutSeconds; give more than %d" .Values.terminationGracePeriodSeconds $needed) }}
{{- end }}
{{- end -}}

{{- define "microservice.validate.resources" -}}
{{- range $kind := list "requests" "limits" }}
{{- range $what := list "cpu" "memory" }}
{{- if not (dig $kind $what "" $.Values.resources) }}
{{- fail (printf "resources.%s.%s: required; requests and limits of cpu and memory, all four" $kind $what) }}
{{- end }}
{{- end }}
{{- end }}
{{- range $key := list "initContainers" "sidecars" }}
{{- range get $.Values $key }}
{{- if not (and (dig "resources" "limits" "cpu" "" .) (dig "resources" "limits" "memory" "" .)) }}
{{- fail (printf "%s: %s needs resources.limits of cpu and memory" $key .name) }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .Values.rbac.rules (not .Values.serviceAccount.automountServiceAccountToken) }}
{{- fail "rbac.rules: of no use without a token; set serviceAccount.automountServiceAccountToken to true" }}
{{- end }}
{{- if and .Values.rbac.rules (not .Values.serviceAccount.create) }}
{{- fail "rbac.rules: are bound to a ServiceAccount of the workload's own; set serviceAccount.create to true" }}
{{- end }}
{{- end -}}

{{- define "microservice.validate.security" -}}
{{- if not .Values.allowPrivileged }}
{{- $pod := .Values.podSecurityContext }}
{{- $container := .Values.securityContext }}
{{- $weak := "" }}
{{- if not $pod.runAsNonRoot }}{{ $weak = "podSecurityContext.runAsNonRoot: must be true" }}{{ end }}
{{- if or (eq (toString $pod.runAsUser) "0") (eq (toString (get $container "runAsUser")) "0") }}{{ $weak = "podSecurityContext.runAsUser: must not be 0" }}{{ end }}
{{- if not (has (dig "seccompProfile" "type" "" $pod) (list "RuntimeDefault" "Localhost")) }}{{ $weak = "podSecurityContext.seccompProfile.type: must be RuntimeDefault or Localhost" }}{{ end }}
{{- if ne (toString $container.allowPrivilegeEscalation) "false" }}{{ $weak = "securityContext.allowPrivilegeEscalation: must be false" }}{{ end }}
{{- if $container.privileged }}{{ $weak = "securityContext.privileged: must be false" }}{{ end }}
{{- if not $container.readOnlyRootFilesystem }}{{ $weak = "securityContext.readOnlyRootFilesystem: must be true" }}{{ end }}
{{- if not (has "ALL" (dig "capabilities" "drop" (list) $container)) }}{{ $weak = "securityContext.capabilities.drop: must have ALL" }}{{ end }}
{{- if without (dig "capabilities" "add" (list) $container) "NET_BIND_SERVICE" }}{{ $weak = "securityContext.capabilities.add: may have NET_BIND_SERVICE alone" }}{{ end }}
{{- with $weak }}
{{- fail (printf "%s; set allowPrivileged to true to go without" .) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Every address that the pod is told must be one it can reach. */}}
{{- define "microservice.validate.callgraph" -}}
{{- if .Values.networkPolicy.enabled }}
{{- $reachable := list "localhost" "127.0.0.1" "0.0.0.0" "[::]" "[::1]" }}
{{- range $place, $entry := .Values.networkPolicy.egressTo }}
{{- if not (or .app (and .host .cidr)) }}
{{- fail (printf "networkPolicy.egressTo[%d]: give {app, port}, {app, namespace, port} or {host, cidr, port}" $place) }}
{{- end }}
{{- if .namespace }}
{{- $reachable = append $reachable (printf "%s.%s" .app .namespace) }}
{{- else if .app }}
{{- $reachable = concat $reachable (list .app (printf "%s.%s" .app $.Release.Namespace)) }}
{{- else }}
{{- $reachable = append $reachable .host }}
{{- end }}
{{- end }}
{{- if .Values.tracing.enabled }}
{{- $peer := include "microservice.tracing.peer" . | fromYaml }}
{{- if or $peer.cidr $peer.namespace }}{{ $reachable = append $reachable $peer.host }}{{ end }}
{{- if not (has $peer.host $reachable) }}
{{- fail (printf "tracing.collector: %s is outside the cluster; add {host: %s, cidr: …, port: %v} to networkPolicy.egressTo" $peer.host $peer.host $peer.port) }}
{{- end }}
{{- end }}
{{- $host := "^([a-z][a-z0-9+.-]*:/{2,3})?([^@/ ]*@)?(\\[[0-9a-fA-F:]+\\]|[A-Za-z0-9._-]+)" }}
{{- $settings := dict }}
{{- range .Values.containerEnvVars }}
{{- $_ := set $settings .name (get . "value" | default "") }}
{{- if .service }}{{ $_ := set $settings .name (printf "%s:%v" .service.app .service.port) }}{{ end }}
{{- end }}
{{- range $name, $value := .Values.extraEnv }}{{ $_ := set $settings $name $value }}{{ end }}
{{- range $name, $value := $settings }}
{{- if kindIs "string" $value }}
{{- if or (regexMatch (print $host ":[0-9]+([/,?].*)?$") $value) (regexMatch "^[a-z][a-z0-9+.-]*://" $value) }}
{{- $host := regexReplaceAll (print $host ".*$") $value "${3}" }}
{{- $parts := splitList "." $host }}
{{- $bare := trimAll "[]" $host }}
{{- $isAddress := or (contains ":" $bare) (regexMatch "^[0-9.]+$" $bare) }}
{{- $named := list $host $bare }}
{{- if not $isAddress }}{{ $named = append $named (slice $parts 0 (min 2 (len $parts) | int) | join ".") }}{{ end }}
{{- $isReachable := false }}
{{- range $named }}{{ if has . $reachable }}{{ $isReachable = true }}{{ end }}{{ end }}
{{- if not $isReachable }}
{{- $entry := printf "{app: %s, port: …} with the port of its pod, or {host: %s, cidr: …, port: …}" (first $parts) $host }}
{{- if $isAddress }}
{{- $entry = printf "{host: %q, cidr: %q, port: …}" $bare (printf "%s/%s" $bare (ternary "128" "32" (contains ":" $bare))) }}
{{- else if gt (len $parts) 1 }}
{{- $entry = printf "{app: %s, namespace: %s, port: …} with the label and port of its pod, or {host: %s, cidr: …, port: …}" (first $parts) (index $parts 1) $host }}
{{- end }}
{{- fail (printf "networkPolicy.egressTo: %s says %s, which no entry lets through; add %s" $name $host $entry) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "microservice.validate.cluster" -}}
{{- if include "boutique.hasCluster" . }}
{{- $needed := dict
  "httpRoute.enabled" (ternary "gateway.networking.k8s.io/v1" "" .Values.httpRoute.enabled)
  "grpcRoute.enabled" (ternary "gateway.networking.k8s.io/v1" "" .Values.grpcRoute.enabled)
  "serviceMonitor.enabled" (ternary "monitoring.coreos.com/v1" "" .Values.serviceMonitor.enabled)
  "podMonitor.enabled" (ternary "monitoring.coreos.com/v1" "" .Values.podMonitor.enabled)
  "prometheusRule.enabled" (ternary "monitoring.coreos.com/v1" "" .Values.prometheusRule.enabled)
  "externalSecrets" (ternary "external-secrets.io/v1" "" (not (empty .Values.externalSecrets)))
}}
{{- range $switch, $group := $needed }}
{{- if and $group (not ($.Capabilities.APIVersions.Has $group)) }}
{{- fail (printf "%s: this cluster does not know %s; install the operator's CRDs first, or turn it off" $switch $group) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
