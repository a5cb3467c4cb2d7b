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

{{/* The name of the port tells a mesh the protocol; without one, it looks at the traffic. */}}
{{- define "microservice.portName" -}}
{{ ternary "server" .Values.protocol (eq .Values.protocol "auto") }}
{{- end -}}

{{/* Whether the workload is reached through the cluster at all. */}}
{{- define "microservice.hasService" -}}
{{- if and (ne .Values.serviceType "none") (ne .Values.protocol "none") -}}true{{- end -}}
{{- end -}}

{{/* Whether it is for callers from outside the namespace, and so for everyone. */}}
{{- define "microservice.isOutward" -}}
{{- if or (eq .Values.serviceType "LoadBalancer") .Values.externalService.enabled .Values.ingress.enabled .Values.httpRoute.enabled .Values.grpcRoute.enabled -}}true{{- end -}}
{{- end -}}

{{/* The Deployment's `replicas`. Under autoscaling it is what the cluster has, so that Helm takes no pod away; a mere
     rendering leaves it out. */}}
{{- define "microservice.replicas" -}}
{{- if not .Values.autoscaling.enabled -}}
{{ .Values.appReplicas }}
{{- else if include "boutique.hasCluster" . -}}
{{- $live := lookup "apps/v1" "Deployment" .Release.Namespace .Values.appName -}}
{{ max (dig "spec" "replicas" 0 $live) .Values.autoscaling.minReplicas }}
{{- end -}}
{{- end -}}

{{/* How many pods there are at the least. */}}
{{- define "microservice.fewest" -}}
{{- if .Values.autoscaling.enabled -}}{{ .Values.autoscaling.minReplicas }}{{- else -}}{{ .Values.appReplicas }}{{- end -}}
{{- end -}}
