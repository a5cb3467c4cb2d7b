{{/* The pod, and what is refused. */}}

{{- define "redis.validate" -}}
{{- if not .Values.validated }}
{{- $keys := include "redis.keys" . | fromJson }}
{{- include "boutique.check.keys" (dict "values" .Values "known" $keys "path" "" "all" $keys) }}
{{- include "boutique.check.null" (dict "values" .Values "known" $keys "path" "") }}
{{- range list "team" "environment" "partOf" }}
{{- include "boutique.check.label" (dict "key" . "value" (get $.Values .)) }}
{{- end }}
{{- include "boutique.check.label" (dict "key" "appVersion" "value" (include "boutique.tag" .)) }}
{{- include "boutique.check.labels" (dict "key" "labels" "names" .Values.labels "areLabels" true) }}
{{- include "boutique.check.labels" (dict "key" "nodeSelector" "names" .Values.nodeSelector "areLabels" true) }}
{{- include "boutique.check.labels" (dict "key" "annotations" "names" .Values.annotations) }}
{{- if and .Values.persistence.enabled (gt (len .Values.appName) 52) }}
{{- fail "appName: a StatefulSet's name may have 52 letters, for the labels of its pods; give a shorter one" }}
{{- end }}
{{- if eq (include "boutique.tag" .) "latest" }}
{{- fail "appVersion: latest is refused; give a version" }}
{{- end }}
{{- if and .Values.requireImageDigest (not .Values.appImageDigest) (not .Values.external.host) }}
{{- fail (printf "appImageDigest: required here, because requireImageDigest is set; give the sha256:… of %s" (include "boutique.image" .)) }}
{{- end }}
{{- range $kind := list "requests" "limits" }}
{{- range $what := list "cpu" "memory" }}
{{- if not (dig $kind $what "" $.Values.resources) }}
{{- fail (printf "resources.%s.%s: required; requests and limits of cpu and memory, all four" $kind $what) }}
{{- end }}
{{- end }}
{{- end }}
{{- $_ := set .Values "validated" true }}
{{- end }}
{{- end -}}

{{/* The pod template of the Deployment or StatefulSet. */}}
{{- define "redis.pod" -}}
metadata:
  labels:
    {{- include "boutique.labels" (dict "root" .) | trim | nindent 4 }}
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
      image: {{ include "boutique.image" . }}
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
        - "yes"
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
