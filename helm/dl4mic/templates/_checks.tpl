{{/* What a schema cannot say: values that go together. Each refusal names the values and what would be right. */}}
{{- define "dl4mic.checks" -}}
{{- if and (not .Values.insecure) (or (not .Values.tls.secret) (not .Values.tokens.secret)) -}}
{{- fail "\n\ntls.secret and tokens.secret: name a TLS Secret and a Secret of tokens (README, \"Certificate and tokens\"), or say --set insecure=true: anybody who reaches the service could then use it, over a line that anybody may read.\n" -}}
{{- end -}}
{{- if and .Values.insecure (or .Values.tls.secret .Values.tokens.secret) -}}
{{- fail "\n\ninsecure: it is true, but tls.secret or tokens.secret is set. Leave out the one or the others.\n" -}}
{{- end -}}
{{- if and .Values.service.nodePort (ne .Values.service.type "NodePort") -}}
{{- fail "\n\nservice.nodePort: it has an effect with service.type=NodePort only.\n" -}}
{{- end -}}
{{- if and .Values.service.externalTrafficPolicy (eq .Values.service.type "ClusterIP") -}}
{{- fail "\n\nservice.externalTrafficPolicy: it has an effect with service.type=NodePort and LoadBalancer only.\n" -}}
{{- end -}}
{{- if and .Values.test.enabled (not .Values.insecure) (not .Values.test.tokenSecret) -}}
{{- fail "\n\ntest.tokenSecret: `helm test` needs a token: name the Secret that holds one under the key test.tokenKey.\n" -}}
{{- end -}}
{{- range $name, $root := .Values.dataRoots -}}
{{- if has $name (list "job" "uploads") -}}
{{- fail (printf "\n\ndataRoots.%s: this name is reserved, choose another one.\n" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
