{{/* Where spans go. The collector's address says where its pods are: `name` in this namespace, `name.namespace` (or
     `name.namespace.svc…`) in another, an IP address anywhere. */}}

{{/* `host`, `port` and `namespace` of the collector, as YAML; no namespace where it cannot be told from the address. */}}
{{- define "microservice.tracing.peer" -}}
{{- $address := .Values.tracing.collector -}}
{{- $host := regexReplaceAll ":[0-9]+$" $address "" | trimAll "[]" -}}
{{- $parts := splitList "." $host -}}
host: {{ $host | quote }}
port: {{ .Values.tracing.port | default (splitList ":" $address | last) }}
{{- if contains ":" $host }}
cidr: {{ printf "%s/128" $host | quote }}
{{- else if regexMatch "^[0-9.]+$" $host }}
cidr: {{ printf "%s/32" $host | quote }}
{{- else if eq (len $parts) 1 }}
namespace: {{ .Release.Namespace | quote }}
{{- else if or (eq (len $parts) 2) (eq (index $parts 2) "svc") }}
namespace: {{ index $parts 1 | quote }}
{{- end }}
{{- end -}}

{{- define "microservice.tracing.egress" -}}
{{- if and .Values.tracing.enabled (ne .Values.protocol "none") }}
{{- $peer := include "microservice.tracing.peer" . | fromYaml }}
{{- if or $peer.cidr $peer.namespace }}
- ports: [{port: {{ $peer.port }}, protocol: TCP}{{ if $peer.namespace }}{{ include "boutique.mesh.port" .Values.mesh }}{{ end }}]
  to:
    {{- if $peer.cidr }}
    - ipBlock: {cidr: {{ $peer.cidr | quote }}}
    {{- else }}
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ $peer.namespace }}}}
    {{- end }}
{{- end }}
{{- end }}
{{- end -}}
