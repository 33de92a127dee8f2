{{/* Labels of everything in the release. */}}
{{- define "pgadmin.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: ameide
{{- end }}

{{/* pgAdmin's servers.json: servers by number, in the order of their names. */}}
{{- define "pgadmin.servers" -}}
{{- $servers := dict }}
{{- range $index, $name := keys .Values.servers | sortAlpha }}
{{- $server := deepCopy (index $.Values.servers $name) }}
{{- $_ := set $server "Name" $name }}
{{- $_ := set $server "Port" (int $server.Port) }}
{{- if not (hasKey $server "Group") }}{{ $_ := set $server "Group" "Servers" }}{{ end }}
{{- $_ := set $servers (add1 $index | toString) $server }}
{{- end }}
{{- dict "Servers" $servers | toPrettyJson }}
{{- end }}
