{{/* Probes. Whether it lives is a question to the workload alone, never to what it depends on; whether it is ready
     may wait for the first contact with its store. Ours answer both by gRPC, under two names. */}}

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
  failureThreshold: 30
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
  service: liveness
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

{{- define "microservice.ask.tcp" -}}
tcpSocket:
  port: {{ (index . 0).Values.containerPort }}
{{- end -}}
