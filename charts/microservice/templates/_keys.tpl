{{/* The keys of values.schema.json, made by scripts/charts. */}}
{{- define "microservice.keys" -}}
{
  "global": "optional",
  "enabled": "optional",
  "appName": "",
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
  "appReplicas": "",
  "sharedStore": "",
  "containerName": "",
  "containerPort": "optional",
  "protocol": "",
  "containerEnvVars": [
    {
      "name": "",
      "value": "",
      "valueFrom": "",
      "service": {
        "app": "",
        "port": "",
        "podPort": ""
      }
    }
  ],
  "clientLoadBalancing": "",
  "extraEnv": {
    "*": {
      "valueFrom": ""
    }
  },
  "envFrom": "",
  "configMap": {
    "data": "",
    "mountPath": ""
  },
  "secretRefs": "",
  "externalSecrets": "",
  "trustProxy": "",
  "serviceType": "",
  "servicePort": "optional",
  "serviceAnnotations": "",
  "loadBalancer": {
    "allocateLoadBalancerNodePorts": "",
    "loadBalancerClass": "",
    "loadBalancerSourceRanges": "",
    "externalTrafficPolicy": ""
  },
  "externalService": {
    "enabled": "",
    "annotations": ""
  },
  "headlessService": {
    "enabled": ""
  },
  "ingress": {
    "enabled": "",
    "className": "",
    "annotations": "",
    "hosts": "",
    "path": "",
    "tls": ""
  },
  "httpRoute": {
    "enabled": "",
    "annotations": "",
    "parentRefs": "",
    "hostnames": "",
    "rules": ""
  },
  "grpcRoute": {
    "enabled": "",
    "annotations": "",
    "parentRefs": "",
    "hostnames": "",
    "rules": ""
  },
  "startupProbe": "",
  "readinessProbe": "",
  "livenessProbe": "",
  "healthService": "",
  "strategy": {
    "type": "",
    "rollingUpdate": {
      "maxSurge": "optional",
      "maxUnavailable": "optional"
    }
  },
  "terminationGracePeriodSeconds": "",
  "drainDelaySeconds": "",
  "drainTimeoutSeconds": "",
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
  "autoscaling": {
    "enabled": "",
    "minReplicas": "",
    "maxReplicas": "",
    "targetCPUUtilizationPercentage": "",
    "metrics": "",
    "behavior": ""
  },
  "podDisruptionBudget": {
    "enabled": "",
    "minAvailable": "",
    "maxUnavailable": ""
  },
  "podAntiAffinity": "",
  "affinity": "",
  "topologySpread": "",
  "topologySpreadConstraints": "",
  "nodeSelector": "",
  "tolerations": "",
  "priorityClassName": "",
  "runtimeClassName": "",
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
  "allowPrivileged": "",
  "serviceAccount": {
    "create": "",
    "name": "",
    "annotations": "",
    "automountServiceAccountToken": ""
  },
  "rbac": {
    "rules": ""
  },
  "networkPolicy": {
    "enabled": "",
    "ingressFrom": "",
    "egressTo": [
      {
        "app": "",
        "namespace": "",
        "host": "",
        "cidr": "",
        "port": ""
      }
    ],
    "dns": {
      "port": "",
      "to": ""
    },
    "ingress": "",
    "egress": ""
  },
  "mesh": "",
  "tracing": {
    "enabled": "",
    "collector": "",
    "port": "optional"
  },
  "metrics": {
    "enabled": "",
    "port": "",
    "path": "",
    "from": ""
  },
  "faults": {
    "enabled": "",
    "list": ""
  },
  "serviceMonitor": {
    "enabled": "",
    "labels": "",
    "interval": ""
  },
  "podMonitor": {
    "enabled": "",
    "labels": "",
    "interval": ""
  },
  "prometheusRule": {
    "enabled": "",
    "labels": "",
    "groups": ""
  },
  "dashboard": {
    "enabled": "",
    "labels": "",
    "json": "",
    "files": ""
  },
  "team": "",
  "environment": "",
  "partOf": "",
  "labels": "",
  "annotations": "",
  "podLabels": "",
  "podAnnotations": "",
  "initContainers": "",
  "sidecars": "",
  "volumes": "",
  "volumeMounts": "",
  "dnsConfig": "",
  "hostAliases": "",
  "extraObjects": ""
}
{{- end -}}
