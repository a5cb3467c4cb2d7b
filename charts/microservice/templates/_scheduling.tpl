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
          {{- include "boutique.selector" . | nindent 10 }}
{{- else if eq .Values.podAntiAffinity "soft" }}
podAntiAffinity:
  preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels:
            {{- include "boutique.selector" . | nindent 12 }}
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
      {{- include "boutique.selector" . | nindent 6 }}
{{- end }}
{{- end -}}

{{/* Whether a host may have one pod at most, by `podAntiAffinity` or by an affinity as Kubernetes has it. */}}
{{- define "microservice.onePerHost" -}}
{{- if not .Values.affinity -}}
{{- if eq .Values.podAntiAffinity "hard" }}true{{ end -}}
{{- else -}}
{{- range dig "podAntiAffinity" "requiredDuringSchedulingIgnoredDuringExecution" list .Values.affinity -}}
{{- if eq (get . "topologyKey" | toString) "kubernetes.io/hostname" }}true{{ end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Where a host may have one pod, a surge would need a spare host. */}}
{{- define "microservice.strategy" -}}
{{- if .Values.strategy }}
{{- toYaml .Values.strategy }}
{{- else }}
type: RollingUpdate
rollingUpdate:
  {{- $hard := ne (include "microservice.onePerHost" .) "" }}
  maxSurge: {{ ternary 0 1 $hard }}
  maxUnavailable: {{ ternary 1 0 $hard }}
{{- end }}
{{- end -}}
