{{/* What a schema cannot say, each refusal a sentence that names the key and what is allowed. */}}

{{- define "microservice.validate" -}}
{{- include "microservice.validate.image" . }}
{{- include "microservice.validate.port" . }}
{{- include "microservice.validate.pods" . }}
{{- include "microservice.validate.resources" . }}
{{- include "microservice.validate.security" . }}
{{- include "microservice.validate.callgraph" . }}
{{- include "microservice.validate.cluster" . }}
{{- end -}}

{{- define "microservice.validate.image" -}}
{{- if eq (include "microservice.tag" .) "latest" }}
{{- fail "appVersion: latest is refused; give a version or a commit" }}
{{- end }}
{{- if and .Values.requireImageDigest (not .Values.appImageDigest) }}
{{- fail (printf "appImageDigest: required here, because requireImageDigest is set; give the sha256:… of %s" (include "microservice.image" .)) }}
{{- end }}
{{- end -}}

{{- define "microservice.validate.port" -}}
{{- if and (ne .Values.protocol "none") (not .Values.containerPort) }}
{{- fail (printf "containerPort: required for protocol %s; give a port, or set protocol to none" .Values.protocol) }}
{{- end }}
{{- if and .Values.metrics.enabled (eq (toString .Values.metrics.port) (toString .Values.containerPort)) }}
{{- fail (printf "metrics.port: %v is the containerPort; give another" .Values.metrics.port) }}
{{- end }}
{{- if not (include "microservice.hasService" .) }}
{{- range list "externalService" "headlessService" "ingress" "httpRoute" "grpcRoute" "serviceMonitor" }}
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
{{- if and (eq .Values.podAntiAffinity "hard") .Values.strategy (ne (toString (dig "rollingUpdate" "maxSurge" "" .Values.strategy)) "0") (ne (get .Values.strategy "type") "Recreate") }}
{{- fail "strategy.rollingUpdate.maxSurge: under podAntiAffinity hard a surge needs a spare host and may wait for ever; give 0, or leave strategy out" }}
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
{{- range .Values.networkPolicy.egressTo }}
{{- $reachable = append $reachable (.app | default .host) }}
{{- end }}
{{- $host := "^([a-z][a-z0-9+.-]*:/{2,3})?([^@/ ]*@)?(\\[[0-9a-fA-F:]+\\]|[A-Za-z0-9._-]+)" }}
{{- $settings := dict }}
{{- range .Values.containerEnvVars }}{{ $_ := set $settings .name (get . "value" | default "") }}{{ end }}
{{- range $name, $value := .Values.extraEnv }}{{ $_ := set $settings $name $value }}{{ end }}
{{- range $name, $value := $settings }}
{{- if kindIs "string" $value }}
{{- if or (regexMatch (print $host ":[0-9]+([/,?].*)?$") $value) (regexMatch "^[a-z][a-z0-9+.-]*://" $value) }}
{{- $host := regexReplaceAll (print $host ".*$") $value "${3}" }}
{{- $first := splitList "." $host | first }}
{{- if not (or (has $host $reachable) (has $first $reachable)) }}
{{- fail (printf "networkPolicy.egressTo: %s says %s, which no entry lets through; add {app: %s, port: …} with the port of its pod, or {host: %s, cidr: …, port: …}" $name $host $first $host) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* A real API server knows apiregistration.k8s.io, a mere rendering does not. */}}
{{- define "microservice.validate.cluster" -}}
{{- if .Capabilities.APIVersions.Has "apiregistration.k8s.io/v1" }}
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
