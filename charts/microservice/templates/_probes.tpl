{{/* Probes. Liveness asks the workload alone, never what it depends on; readiness may wait for the first contact with a
     store. Our services answer both by gRPC, under two names: `healthService` is the one for liveness. */}}

{{/* Called with a list: the root, which probe. */}}
{{- define "microservice.probe" -}}
{{- $root := index . 0 -}}
{{- $which := index . 1 -}}
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
  port: {{ (index . 0).Values.containerPort }}
  {{- if ne (index . 1) "readinessProbe" }}
  {{- with (index . 0).Values.healthService }}
  service: {{ . }}
  {{- end }}
  {{- end }}
{{- end -}}

{{/* Upstream's session cookies keep probes out of the visitors. BASE_URL stands before every path. */}}
{{- define "microservice.ask.http" -}}
{{- $root := index . 0 -}}
httpGet:
  path: {{ include "microservice.setting" (list $root "BASE_URL") | trimSuffix "/" }}/_healthz
  port: {{ $root.Values.containerPort }}
  httpHeaders:
    - name: Cookie
      value: shop_session-id=x-{{ ternary "liveness" "readiness" (eq (index . 1) "livenessProbe") }}-probe
{{- end -}}

{{- define "microservice.ask.auto" -}}
{{- include "microservice.ask.tcp" . }}
{{- end -}}

{{- define "microservice.ask.tcp" -}}
tcpSocket:
  port: {{ (index . 0).Values.containerPort }}
{{- end -}}
