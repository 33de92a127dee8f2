{{/* A map of settings with whole numbers written out: Helm reads them as floats, and 6.048e+08 is not a number of ms. */}}
{{- define "kafka-cluster.settings" -}}
{{- range $key, $value := . }}
{{ $key }}: {{ if kindIs "float64" $value }}{{ if eq $value (floor $value) }}{{ $value | int64 }}{{ else }}{{ $value }}{{ end }}{{ else }}{{ $value | toJson }}{{ end }}
{{- end }}
{{- end }}
