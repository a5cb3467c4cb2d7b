{{/* Names: of the workload, its ServiceAccount, its Service's port. */}}

{{- define "microservice.serviceAccountName" -}}
{{- if .Values.serviceAccount.name -}}
{{ .Values.serviceAccount.name }}
{{- else if .Values.serviceAccount.create -}}
{{ .Values.appName }}
{{- else -}}
default
{{- end -}}
{{- end -}}

{{- define "microservice.servicePort" -}}
{{ .Values.servicePort | default .Values.containerPort }}
{{- end -}}

{{/* Whether the workload is reached through the cluster at all. */}}
{{- define "microservice.hasService" -}}
{{- if and (ne .Values.serviceType "none") (ne .Values.protocol "none") -}}true{{- end -}}
{{- end -}}

{{/* Whether it is for callers from outside the namespace, and so for everyone. */}}
{{- define "microservice.isOutward" -}}
{{- if or (eq .Values.serviceType "LoadBalancer") .Values.externalService.enabled .Values.ingress.enabled .Values.httpRoute.enabled .Values.grpcRoute.enabled -}}true{{- end -}}
{{- end -}}

{{/* How many pods there are at the least. */}}
{{- define "microservice.fewest" -}}
{{- if .Values.autoscaling.enabled -}}{{ .Values.autoscaling.minReplicas }}{{- else -}}{{ .Values.appReplicas }}{{- end -}}
{{- end -}}
