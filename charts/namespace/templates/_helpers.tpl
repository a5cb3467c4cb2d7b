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
{{- include "boutique.check.keys" (dict "values" .Values "known" $keys "path" "" "all" $keys) }}
{{- include "boutique.check.null" (dict "values" .Values "known" $keys "path" "") }}
{{- include "boutique.check.label" (dict "key" "environment" "value" .Values.environment) }}
{{- include "boutique.check.labels" (dict "key" "labels" "names" .Values.labels "areLabels" true) }}
{{- include "boutique.check.labels" (dict "key" "annotations" "names" .Values.annotations) }}
{{- $_ := set .Values "validated" true }}
{{- end }}
{{- end -}}
