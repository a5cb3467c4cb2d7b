{{/* The keys of values.schema.json, made by scripts/charts. */}}
{{- define "namespace.keys" -}}
{
  "global": "optional",
  "enabled": "optional",
  "name": "",
  "podSecurity": "",
  "labels": "",
  "annotations": "",
  "environment": "",
  "quota": "",
  "limits": {
    "default": {
      "cpu": "",
      "memory": "",
      "ephemeral-storage": ""
    },
    "defaultRequest": {
      "cpu": "",
      "memory": "",
      "ephemeral-storage": ""
    },
    "max": {
      "cpu": "",
      "memory": "",
      "ephemeral-storage": ""
    },
    "min": {
      "cpu": "",
      "memory": "",
      "ephemeral-storage": ""
    },
    "maxLimitRequestRatio": ""
  },
  "dns": {
    "port": "",
    "to": ""
  },
  "mesh": "",
  "defaultDeny": "",
  "rbac": {
    "viewers": "",
    "deployers": ""
  }
}
{{- end -}}
