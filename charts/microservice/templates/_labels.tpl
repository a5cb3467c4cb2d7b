{{/* Labels. The selector is `app` alone, for ever: a Deployment's selector cannot change. */}}

{{- define "microservice.selector" -}}
app: {{ .Values.appName }}
{{- end -}}

{{- define "microservice.labels" -}}
{{- $labels := dict
  "app" .Values.appName
  "version" (include "microservice.tag" .)
  "team" .Values.team
  "environment" .Values.environment
  "app.kubernetes.io/name" .Values.appName
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" (include "microservice.tag" .)
  "app.kubernetes.io/part-of" .Values.partOf
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version)
-}}
{{- range $name, $value := mergeOverwrite $labels .Values.labels }}
{{- if ne (toString $value) "" }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Those of one object; called with a list: the root, more labels. */}}
{{- define "microservice.labelsWith" -}}
{{- include "microservice.labels" (index . 0) | fromYaml | merge (index . 1 | deepCopy) | toYaml }}
{{- end -}}

{{/* Everything an object's metadata has. Called with a list: the root, the name, more labels, more annotations. */}}
{{- define "microservice.metadata" -}}
{{- $root := index . 0 -}}
{{- $labels := dict -}}
{{- $annotations := deepCopy $root.Values.annotations -}}
{{- if gt (len .) 2 }}{{ $labels = index . 2 }}{{ end -}}
{{- if gt (len .) 3 }}{{ $annotations = mergeOverwrite $annotations (index . 3) }}{{ end -}}
metadata:
  name: {{ index . 1 }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "microservice.labelsWith" (list $root $labels) | nindent 4 }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
