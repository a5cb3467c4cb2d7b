{{/* What the objects share, and what is refused. */}}

{{- define "namespace.labels" -}}
app.kubernetes.io/name: {{ .Values.name }}
app.kubernetes.io/part-of: online-boutique
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- with .Values.environment }}
environment: {{ . }}
{{- end }}
{{- end -}}

{{- define "namespace.validate" -}}
{{- if not .Values.validated }}
{{- if not .Values.name }}
{{- fail "name: required, the namespace to make" }}
{{- end }}
{{- $keys := include "namespace.keys" . | fromJson }}
{{- include "boutique.check.keys" (list .Values $keys "" $keys) }}
{{- include "boutique.check.null" (list .Values $keys "") }}
{{- include "boutique.check.label" (list "environment" .Values.environment) }}
{{- include "boutique.check.labels" (list "labels" .Values.labels true) }}
{{- include "boutique.check.labels" (list "annotations" .Values.annotations false) }}
{{- $_ := set .Values "validated" true }}
{{- end }}
{{- end -}}
