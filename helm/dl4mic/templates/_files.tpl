{{/* --images: the references of every service's images. */}}
{{- define "dl4mic.images" -}}
{{- $root := . -}}
{{- $images := dict -}}
{{- range $name, $service := .Values.services -}}
{{- if ne $service.enabled false -}}
{{- $references := dict "cpu" (include "dl4mic.image" (dict "image" $service.image "root" $root)) -}}
{{- if ($service.gpuImage).repository -}}
{{- $_ := set $references "gpu" (include "dl4mic.image" (dict "image" $service.gpuImage "root" $root)) -}}
{{- end -}}
{{- $_ := set $images $name $references -}}
{{- end -}}
{{- end -}}
{{- if .Values.test.enabled -}}
{{- $_ := set $images "blur" (dict "cpu" (include "dl4mic.image" (dict "image" .Values.test.image "root" $root))) -}}
{{- end -}}
{{- toYaml $images -}}
{{- end -}}

{{/* --kubernetes: how the backend sets up its Jobs. */}}
{{- define "dl4mic.kubernetes" -}}
{{- $jobs := .Values.jobs -}}
{{- $roots := dict -}}
{{- range $name, $root := .Values.dataRoots -}}
{{- $_ := set $roots $name (dict "claim" $root.claim "sub_path" ($root.subPath | default "")) -}}
{{- end -}}
{{- $resources := dict -}}
{{- range $name, $service := .Values.services -}}
{{- if $service.resources -}}{{- $_ := set $resources $name $service.resources -}}{{- end -}}
{{- end -}}
{{- $labels := $jobs.gpuLabels -}}
{{- $settings := dict
  "namespace" .Release.Namespace
  "workspace" (dict "claim" (include "dl4mic.workspaceClaim" .) "sub_path" .Values.workspace.subPath)
  "data_roots" $roots
  "gpu_resource" $jobs.gpuResource
  "gpu_labels" (dict
    "product" $labels.product
    "memory" $labels.memory
    "compute_major" $labels.computeMajor
    "compute_minor" $labels.computeMinor)
  "runtime_class" $jobs.runtimeClass
  "priority_classes" $jobs.priorityClasses
  "tolerations" $jobs.tolerations
  "node_selector" $jobs.nodeSelector
  "resources" $resources
  "shared_memory_mib" (int $jobs.sharedMemoryMib)
  "queue" $jobs.queue
  "image_pull_secrets" .Values.images.pullSecrets
  "look_ahead" (int $jobs.lookAhead)
  "ttl_seconds" (int $jobs.ttlSeconds)
  "grace_seconds" (int $jobs.graceSeconds)
  "service_account" $jobs.serviceAccount
  "owner" (include "dl4mic.name" .)
  "labels" (fromYaml (include "dl4mic.jobLabels" .))
-}}
{{- toYaml $settings -}}
{{- end -}}

{{/* Labels of the pods of jobs: the network policies know them by these. */}}
{{- define "dl4mic.jobLabels" -}}
app.kubernetes.io/name: dl4mic
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: job
{{- end -}}
