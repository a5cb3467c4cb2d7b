{{/* Where pods go, and how one set of them makes way for the next. */}}

{{- define "microservice.affinity" -}}
{{- if .Values.affinity }}
{{- toYaml .Values.affinity }}
{{- else if eq .Values.podAntiAffinity "hard" }}
podAntiAffinity:
  requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels:
          {{- include "microservice.selector" . | nindent 10 }}
{{- else if eq .Values.podAntiAffinity "soft" }}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "microservice.selector" . | nindent 12 }}
{{- end }}
{{- end -}}

{{- define "microservice.spread" -}}
{{- if .Values.topologySpreadConstraints }}
{{- toYaml .Values.topologySpreadConstraints }}
{{- else if eq .Values.topologySpread "zone" }}
- maxSkew: 1
  topologyKey: topology.kubernetes.io/zone
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- include "microservice.selector" . | nindent 6 }}
{{- end }}
{{- end -}}

{{/* Where every host may have one pod, a host too many is needed for a surge. */}}
{{- define "microservice.strategy" -}}
{{- if .Values.strategy }}
{{- toYaml .Values.strategy }}
{{- else }}
type: RollingUpdate
rollingUpdate:
  {{- $hard := and (eq .Values.podAntiAffinity "hard") (not .Values.affinity) }}
  maxSurge: {{ ternary 0 1 $hard }}
  maxUnavailable: {{ ternary 1 0 $hard }}
{{- end }}
{{- end -}}
