{{/* What the objects share, and what is refused. */}}

{{- define "redis.tag" -}}
{{ .Values.appVersion | default .Chart.AppVersion }}
{{- end -}}

{{- define "redis.image" -}}
{{- with .Values.imageRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ .Values.appImage }}:{{ include "redis.tag" . }}
{{- with .Values.appImageDigest }}@{{ . }}{{ end -}}
{{- end -}}

{{- define "redis.selector" -}}
app: {{ .Values.appName }}
{{- end -}}

{{- define "redis.labels" -}}
{{- $labels := dict
  "app" .Values.appName
  "version" (include "redis.tag" .)
  "team" .Values.team
  "environment" .Values.environment
  "app.kubernetes.io/name" .Values.appName
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" (include "redis.tag" .)
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

{{/* Called with a list: the root, the name. */}}
{{- define "redis.metadata" -}}
{{- $root := index . 0 -}}
metadata:
  name: {{ index . 1 }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "redis.labels" $root | trim | nindent 4 }}
  {{- with $root.Values.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

{{- define "redis.validate" -}}
{{- if eq (include "redis.tag" .) "latest" }}
{{- fail "appVersion: latest is refused; give a version" }}
{{- end }}
{{- if and .Values.requireImageDigest (not .Values.appImageDigest) (not .Values.external.host) }}
{{- fail (printf "appImageDigest: required here, because requireImageDigest is set; give the sha256:… of %s" (include "redis.image" .)) }}
{{- end }}
{{- range $kind := list "requests" "limits" }}
{{- range $what := list "cpu" "memory" }}
{{- if not (dig $kind $what "" $.Values.resources) }}
{{- fail (printf "resources.%s.%s: required; requests and limits of cpu and memory, all four" $kind $what) }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The pod, whoever keeps it. */}}
{{- define "redis.pod" -}}
metadata:
  labels:
    {{- include "redis.labels" . | trim | nindent 4 }}
spec:
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext:
    {{- toYaml .Values.podSecurityContext | nindent 4 }}
  {{- range $key := list "imagePullSecrets" "nodeSelector" "tolerations" "affinity" "priorityClassName" }}
  {{- with get $.Values $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  containers:
    - name: redis
      image: {{ include "redis.image" . }}
      imagePullPolicy: {{ .Values.imagePullPolicy }}
      args:
        {{- if .Values.tls.existingSecret }}
        - --port
        - "0"
        - --tls-port
        - {{ .Values.containerPort | quote }}
        - --tls-cert-file
        - /tls/tls.crt
        - --tls-key-file
        - /tls/tls.key
        - --tls-ca-cert-file
        - /tls/ca.crt
        - --tls-auth-clients
        - "no"
        {{- else }}
        - --port
        - {{ .Values.containerPort | quote }}
        {{- end }}
        {{- if .Values.auth.existingSecret }}
        - --aclfile
        - /auth/users.acl
        {{- end }}
        - --protected-mode
        - "no"
        - --dir
        - /data
        - --save
        - ""
        - --appendonly
        - {{ ternary "yes" "no" .Values.persistence.enabled | quote }}
        - --maxmemory
        - {{ .Values.maxmemory }}
        - --maxmemory-policy
        - {{ .Values.maxmemoryPolicy }}
        {{- range .Values.extraArgs }}
        - {{ . | quote }}
        {{- end }}
      ports:
        - name: tcp-redis
          containerPort: {{ .Values.containerPort }}
      # A port is open before the file is read; PING answers afterwards.
      readinessProbe:
        exec:
          command: [redis-cli, -e, -p, {{ .Values.containerPort | quote }}{{ if .Values.tls.existingSecret }}, --tls, --insecure{{ end }}, ping]
        periodSeconds: 5
        timeoutSeconds: 2
      livenessProbe:
        tcpSocket:
          port: {{ .Values.containerPort }}
        periodSeconds: 10
        failureThreshold: 6
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      securityContext:
        {{- toYaml .Values.securityContext | nindent 8 }}
      volumeMounts:
        - {name: data, mountPath: /data}
        {{- if .Values.auth.existingSecret }}
        - {name: auth, mountPath: /auth, readOnly: true}
        {{- end }}
        {{- if .Values.tls.existingSecret }}
        - {name: tls, mountPath: /tls, readOnly: true}
        {{- end }}
  {{- if or (not .Values.persistence.enabled) .Values.auth.existingSecret .Values.tls.existingSecret }}
  volumes:
    {{- if not .Values.persistence.enabled }}
    - name: data
      emptyDir: {sizeLimit: {{ .Values.persistence.size }}}
    {{- end }}
    {{- with .Values.auth.existingSecret }}
    - {name: auth, secret: {secretName: {{ . }}}}
    {{- end }}
    {{- with .Values.tls.existingSecret }}
    - {name: tls, secret: {secretName: {{ . }}}}
    {{- end }}
  {{- end }}
{{- end -}}
