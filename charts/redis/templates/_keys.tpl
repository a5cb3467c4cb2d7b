{{/* The keys of values.schema.json, made by scripts/charts. */}}
{{- define "redis.keys" -}}
{
  "global": "optional",
  "enabled": "optional",
  "appName": "",
  "external": {
    "host": ""
  },
  "persistence": {
    "enabled": "",
    "size": "",
    "storageClassName": ""
  },
  "appImage": "",
  "appVersion": "",
  "appImageDigest": "",
  "requireImageDigest": "",
  "imageRegistry": "",
  "imagePullPolicy": "",
  "imagePullSecrets": [
    {
      "name": ""
    }
  ],
  "containerPort": "",
  "maxmemory": "",
  "maxmemoryPolicy": "",
  "extraArgs": "",
  "auth": {
    "existingSecret": ""
  },
  "tls": {
    "existingSecret": ""
  },
  "resources": {
    "requests": {
      "cpu": "",
      "memory": "",
      "ephemeral-storage": ""
    },
    "limits": {
      "cpu": "",
      "memory": "",
      "ephemeral-storage": ""
    }
  },
  "terminationGracePeriodSeconds": "",
  "podSecurityContext": {
    "runAsNonRoot": "",
    "runAsUser": "",
    "runAsGroup": "",
    "fsGroup": "",
    "fsGroupChangePolicy": "",
    "supplementalGroups": "",
    "supplementalGroupsPolicy": "",
    "seccompProfile": {
      "type": "",
      "localhostProfile": ""
    },
    "appArmorProfile": "",
    "seLinuxOptions": "",
    "sysctls": ""
  },
  "securityContext": {
    "allowPrivilegeEscalation": "",
    "privileged": "",
    "readOnlyRootFilesystem": "",
    "capabilities": {
      "drop": "",
      "add": ""
    },
    "runAsNonRoot": "",
    "runAsUser": "",
    "runAsGroup": "",
    "seccompProfile": {
      "type": "",
      "localhostProfile": ""
    },
    "appArmorProfile": "",
    "seLinuxOptions": "",
    "procMount": ""
  },
  "nodeSelector": "",
  "tolerations": "",
  "affinity": "",
  "priorityClassName": "",
  "networkPolicy": {
    "enabled": "",
    "ingressFrom": "",
    "dns": {
      "port": "",
      "to": ""
    }
  },
  "mesh": "",
  "tracing": "",
  "metrics": "",
  "serviceMonitor": "",
  "podMonitor": "",
  "team": "",
  "environment": "",
  "partOf": "",
  "labels": "",
  "annotations": ""
}
{{- end -}}
