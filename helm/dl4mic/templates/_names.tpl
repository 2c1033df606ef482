{{- define "dl4mic.name" -}}
{{- $name := ternary .Release.Name (printf "%s-dl4mic" .Release.Name) (contains "dl4mic" .Release.Name) -}}
{{- trunc 50 $name | trimSuffix "-" -}}
{{- end -}}

{{- define "dl4mic.selector" -}}
app.kubernetes.io/name: dl4mic
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "dl4mic.labels" -}}
{{ include "dl4mic.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "dl4mic.serviceAccount" -}}
{{- .Values.serviceAccount.name | default (include "dl4mic.name" .) -}}
{{- end -}}

{{- define "dl4mic.workspaceClaim" -}}
{{- .Values.workspace.existingClaim | default (printf "%s-workspace" (include "dl4mic.name" .)) -}}
{{- end -}}

{{- define "dl4mic.storeClaim" -}}
{{- .Values.store.existingClaim | default (printf "%s-store" (include "dl4mic.name" .)) -}}
{{- end -}}

{{/* The reference of an image: (dict "image" IMAGE "root" $). A digest is stronger than a tag. */}}
{{- define "dl4mic.image" -}}
{{- $registry := .root.Values.images.registry | trimSuffix "/" -}}
{{- $repository := ternary (printf "%s/%s" $registry .image.repository) .image.repository (ne $registry "") -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (.image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* How every pod of ours runs: as the restricted profile of Pod Security wants it. */}}
{{- define "dl4mic.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "dl4mic.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* What a pod that calls the service needs to know of it. */}}
{{- define "dl4mic.address" -}}
{{- printf "%s.%s.svc:%v" (include "dl4mic.name" .) .Release.Namespace .Values.service.port -}}
{{- end -}}
