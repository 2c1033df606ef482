{{/*
Where the ServiceMonitor is the chart's, the labels of what it scrapes are known: rules ask for those of this release
only, and say them. Beside another installation, none would miss this one, and figures of both would be added up.
*/}}
{{- define "dl4mic.rules" -}}
{{- $rules := .Files.Get "alerts/rules.yaml" -}}
{{- if .Values.metrics.serviceMonitor.enabled -}}
{{- $job := printf "%s-metrics" (include "dl4mic.name" .) -}}
{{- $own := printf "namespace=%q, job=%q" .Release.Namespace $job -}}
{{- $rules = regexReplaceAll "(\\bdl4mic_\\w+)\\{" $rules (printf "${1}{%s, " $own) -}}
{{- $rules = regexReplaceAll "(\\bdl4mic_\\w+)([^\\w{])" $rules (printf "${1}{%s}${2}" $own) -}}
{{- $rules = replace "labels: {" (printf "labels: {namespace: %q, job: %q, " .Release.Namespace $job) $rules -}}
{{- end -}}
{{- $rules -}}
{{- end -}}
