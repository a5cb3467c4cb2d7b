{{/* Containers beside the workload's own get its security context where they have none. */}}

{{- define "microservice.containers" -}}
{{- $security := .Values.securityContext -}}
{{- $containers := list -}}
{{- range index . "containers" }}
{{- $containers = append $containers (merge (dict) . (dict "securityContext" $security)) }}
{{- end }}
{{- toYaml $containers }}
{{- end -}}
