{{- define "dl4mic.arguments" -}}
- --listen=0.0.0.0:50051
- --backend=kubernetes
- --images=/etc/dl4mic/images.yaml
- --kubernetes=/etc/dl4mic/kubernetes.yaml
- --workspace=/workspace
- --warm-idle={{ int .Values.jobs.warmIdleSeconds }}
{{- range $name, $service := .Values.services }}
{{- if and (ne $service.enabled false) $service.warmInstances }}
- --warm-instances={{ $name }}={{ int $service.warmInstances }}
{{- end }}
{{- end }}
{{- if .Values.test.enabled }}
- --services=/app/services-and-fakes
{{- end }}
{{- if .Values.insecure }}
- --insecure
{{- else }}
- --tls-certificate=/etc/dl4mic-tls/tls.crt
- --tls-key=/etc/dl4mic-tls/tls.key
- --tokens=/etc/dl4mic-tokens/{{ .Values.tokens.key }}
{{- end }}
{{- if .Values.metrics.enabled }}
- --metrics-port={{ .Values.metrics.port }}
{{- end }}
{{- range $name, $root := .Values.dataRoots }}
- --root={{ $name }}=/data/{{ $name }}
{{- end }}
{{- range .Values.orchestrator.arguments }}
- {{ . | quote }}
{{- end }}
{{- end -}}

{{/*
Health through the contract: asked by the kubelet where it can (1.24), else by a small program. Over TLS, the kubelet
cannot, and the program would need to know whom the certificate names: whether the port answers must do.
*/}}
{{- define "dl4mic.probes" -}}
{{- $ask := "tcpSocket: {port: grpc}" -}}
{{- if .Values.insecure -}}
{{- $program := "exec: {command: [python, -m, dl4mic.health, \"localhost:50051\"]}" -}}
{{- $ask = ternary "grpc: {port: 50051}" $program (semverCompare ">=1.24.0-0" .Capabilities.KubeVersion.Version) -}}
{{- end -}}
startupProbe: # a store of many years is migrated first
  {{ $ask }}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 120
readinessProbe:
  {{ $ask }}
  periodSeconds: 10
  timeoutSeconds: 5
livenessProbe:
  {{ $ask }}
  periodSeconds: 20
  timeoutSeconds: 10
  failureThreshold: 6
{{- end -}}

{{/*
Claim -> the volume that it is: one for each, since kubelets wait for ever for a second one of the same. What is a
data root's alone is named root-NAME, and nothing of it is written.
*/}}
{{- define "dl4mic.claims" -}}
{{- $volumes := dict (include "dl4mic.workspaceClaim" .) "workspace" -}}
{{- if not .Values.store.postgresql.secret -}}
{{- $volumes = merge $volumes (dict (include "dl4mic.storeClaim" .) "store") -}}
{{- end -}}
{{- range $name, $root := .Values.dataRoots -}}
{{- $volumes = merge $volumes (dict $root.claim (printf "root-%s" $name)) -}}
{{- end -}}
{{- toYaml $volumes -}}
{{- end -}}

{{- define "dl4mic.mounts" -}}
{{- $volumes := include "dl4mic.claims" . | fromYaml -}}
- {name: workspace, mountPath: /workspace, subPath: {{ .Values.workspace.subPath | quote }}}
- {name: configuration, mountPath: /etc/dl4mic, readOnly: true}
- {name: temporary, mountPath: /tmp}
{{- if not .Values.store.postgresql.secret }}
- {name: {{ get $volumes (include "dl4mic.storeClaim" .) }}, mountPath: /store}
{{- end }}
{{- if not .Values.insecure }}
- {name: certificate, mountPath: /etc/dl4mic-tls, readOnly: true}
- {name: tokens, mountPath: /etc/dl4mic-tokens, readOnly: true}
{{- end }}
{{- range $name, $root := .Values.dataRoots }}
- {name: {{ get $volumes $root.claim }}, mountPath: /data/{{ $name }}, subPath: {{ $root.subPath | default "" | quote }}, readOnly: true}
{{- end }}
{{- end -}}

{{- define "dl4mic.volumes" -}}
- name: configuration
  configMap: {name: {{ include "dl4mic.name" . }}}
- name: temporary
  emptyDir: {}
{{- if not .Values.insecure }}
- name: certificate
  secret: {secretName: {{ .Values.tls.secret }}}
- name: tokens
  secret: {secretName: {{ .Values.tokens.secret }}}
{{- end }}
{{- range $claim, $volume := include "dl4mic.claims" . | fromYaml }}
- name: {{ $volume }}
  persistentVolumeClaim: {claimName: {{ $claim }}{{ if hasPrefix "root-" $volume }}, readOnly: true{{ end }}}
{{- end }}
{{- end -}}
