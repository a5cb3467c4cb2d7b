{{/* Probes. Liveness asks the workload alone, never what it depends on; readiness may wait for the first contact with a
     store. Our services answer both by gRPC, under two names: `healthService` is the one for liveness. */}}

{{/* Called with `root` and the key of a `probe`. */}}
{{- define "microservice.probe" -}}
{{- $root := .root -}}
{{- $which := .probe -}}
{{- $given := get $root.Values $which -}}
{{- if kindIs "bool" $given }}
{{- else if $given }}
{{ $which }}:
  {{- toYaml $given | nindent 2 }}
{{- else if ne $root.Values.protocol "none" }}
{{ $which }}:
  {{- include (printf "microservice.ask.%s" $root.Values.protocol) . | nindent 2 }}
  {{- if eq $which "startupProbe" }}
  periodSeconds: 1
  failureThreshold: 60
  {{- else if eq $which "readinessProbe" }}
  periodSeconds: 5
  {{- else }}
  periodSeconds: 10
  {{- end }}
  timeoutSeconds: 2
{{- end }}
{{- end -}}

{{- define "microservice.ask.grpc" -}}
grpc:
  port: {{ .root.Values.containerPort }}
  {{- if ne .probe "readinessProbe" }}
  {{- with .root.Values.healthService }}
  service: {{ . }}
  {{- end }}
  {{- end }}
{{- end -}}

{{/* Upstream's session cookies keep probes out of the visitors. BASE_URL stands before every path. */}}
{{- define "microservice.ask.http" -}}
{{- $root := .root -}}
httpGet:
  path: {{ include "microservice.setting" (dict "root" $root "name" "BASE_URL") | trimSuffix "/" }}/_healthz
  port: {{ $root.Values.containerPort }}
  httpHeaders:
    - name: Cookie
      value: shop_session-id=x-{{ ternary "liveness" "readiness" (eq .probe "livenessProbe") }}-probe
{{- end -}}

{{- define "microservice.ask.auto" -}}
{{- include "microservice.ask.tcp" . }}
{{- end -}}

{{- define "microservice.ask.tcp" -}}
tcpSocket:
  port: {{ .root.Values.containerPort }}
{{- end -}}
