{{/* The image: registry, name, tag, digest. */}}

{{- define "microservice.tag" -}}
{{ .Values.appVersion | default .Chart.AppVersion }}
{{- end -}}

{{- define "microservice.image" -}}
{{- with .Values.imageRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ .Values.appImage }}:{{ include "microservice.tag" . }}
{{- with .Values.appImageDigest }}@{{ . }}{{ end -}}
{{- end -}}
