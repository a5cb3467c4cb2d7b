{{/* The environment: the list in its order, then the map by name, which wins. */}}

{{- define "microservice.env" -}}
{{- $overrides := .Values.extraEnv -}}
{{- $entries := list -}}
{{- if and (ne .Values.protocol "none") (not (hasKey $overrides "DRAIN_DELAY")) }}
{{- $entries = append $entries (dict "name" "DRAIN_DELAY" "value" (printf "%vs" .Values.drainDelaySeconds)) }}
{{- $entries = append $entries (dict "name" "DRAIN_TIMEOUT" "value" (printf "%vs" .Values.drainTimeoutSeconds)) }}
{{- end }}
{{- if .Values.trustProxy }}
{{- $entries = append $entries (dict "name" "TRUST_PROXY" "value" (toString .Values.trustProxy)) }}
{{- end }}
{{- if and .Values.tracing.enabled (ne .Values.protocol "none") }}
{{- $entries = append $entries (dict "name" "ENABLE_TRACING" "value" "1") }}
{{- $entries = append $entries (dict "name" "COLLECTOR_SERVICE_ADDR" "value" .Values.tracing.collector) }}
{{- if not (hasKey $overrides "OTEL_RESOURCE_ATTRIBUTES") }}
{{- range $name, $field := dict "POD_NAME" "metadata.name" "POD_UID" "metadata.uid" "NODE_NAME" "spec.nodeName" }}
{{- $entries = append $entries (dict "name" $name "valueFrom" (dict "fieldRef" (dict "fieldPath" $field))) }}
{{- end }}
{{- $entries = append $entries (dict "name" "OTEL_RESOURCE_ATTRIBUTES" "value" (include "microservice.resource" .)) }}
{{- end }}
{{- end }}
{{- if and .Values.metrics.enabled (ne .Values.protocol "none") (not (hasKey $overrides "ADMIN_ADDR")) }}
{{- $entries = append $entries (dict "name" "ADMIN_ADDR" "value" (printf ":%v" .Values.metrics.port)) }}
{{- end }}
{{- if and .Values.faults.enabled (not (hasKey $overrides "FAULTS")) }}
{{- $entries = append $entries (dict "name" "FAULTS" "value" "/etc/boutique/faults/faults.yaml") }}
{{- end }}
{{- range .Values.containerEnvVars }}
{{- if not (hasKey $overrides .name) }}
{{- if .service }}
{{- $entries = append $entries (dict "name" .name "value" (include "microservice.address" (dict "root" $ "service" .service))) }}
{{- else }}
{{- $entries = append $entries . }}
{{- end }}
{{- end }}
{{- end }}
{{- range $name, $value := $overrides }}
{{- if kindIs "map" $value }}
{{- $entries = append $entries (merge (dict "name" $name) $value) }}
{{- else }}
{{- $entries = append $entries (dict "name" $name "value" $value) }}
{{- end }}
{{- end }}
{{- if $entries }}
{{- toYaml $entries }}
{{- end }}
{{- end -}}

{{/* The resource attributes of the pod's spans, by OpenTelemetry's names. */}}
{{- define "microservice.resource" -}}
service.namespace={{ .Release.Namespace }},service.version={{ include "boutique.tag" . }},service.instance.id=$(POD_UID),k8s.namespace.name={{ .Release.Namespace }},k8s.deployment.name={{ .Values.appName }},k8s.pod.name=$(POD_NAME),k8s.pod.uid=$(POD_UID),k8s.node.name=$(NODE_NAME)
{{- end -}}

{{/* The address of a workload: its pods, or its Service where none of them is known; with a mesh, the Service
     alone. Called with `root` and `service`: {app, port, podPort}. */}}
{{- define "microservice.address" -}}
{{- $service := .service -}}
{{- $address := printf "%s:%v" $service.app ($service.port | int) -}}
{{- $values := .root.Values -}}
{{- if and $values.clientLoadBalancing (not $values.mesh) }}
{{- $address = printf "%s-headless:%v;%s" $service.app ($service.podPort | default $service.port | int) $address -}}
{{- end }}
{{- $address -}}
{{- end -}}

{{- define "microservice.envFrom" -}}
{{- $sources := .Values.envFrom -}}
{{- if and .Values.configMap.data (not .Values.configMap.mountPath) }}
{{- $sources = append $sources (dict "configMapRef" (dict "name" .Values.appName)) }}
{{- end }}
{{- range .Values.secretRefs }}
{{- $sources = append $sources (dict "secretRef" (dict "name" .)) }}
{{- end }}
{{- with $sources }}
{{- toYaml . }}
{{- end }}
{{- end -}}

{{/* The value of one plain setting, wherever it is set. Called with `root` and `name`. */}}
{{- define "microservice.setting" -}}
{{- $values := .root.Values -}}
{{- $name := .name -}}
{{- $found := "" -}}
{{- range $values.containerEnvVars }}{{ if eq .name $name }}{{ $found = .value }}{{ end }}{{ end -}}
{{- with get $values.extraEnv $name }}{{ $found = . }}{{ end -}}
{{- $found | default "" -}}
{{- end -}}

{{/* Something where a setting is set, or may be by what is not known here. Called with `root` and `name`. */}}
{{- define "microservice.isSet" -}}
{{- $values := .root.Values -}}
{{- $name := .name -}}
{{- if or $values.envFrom $values.secretRefs }}unknown{{ end -}}
{{- range list $name (printf "%s_FILE" $name) }}
{{- $wanted := . -}}
{{- with get $values.extraEnv $wanted }}{{ $wanted }}{{ end -}}
{{- if get $values.configMap.data $wanted }}{{ $wanted }}{{ end -}}
{{- if not (hasKey $values.extraEnv $wanted) }}
{{- range $values.containerEnvVars }}
{{- if and (eq .name $wanted) (or .value .valueFrom .service) }}{{ $wanted }}{{ end -}}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
