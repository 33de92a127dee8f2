{{/* Labels of everything in the release. */}}
{{- define "helm-test-jobs.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/component: smoke-test
{{- end }}

{{/* Name of a job's objects: (list $ job). Refuses what Kubernetes would cut or refuse later. */}}
{{- define "helm-test-jobs.name" -}}
{{- $root := index . 0 -}}
{{- $job := index . 1 -}}
{{- $name := printf "%s-%s" $root.Release.Name $job.name -}}
{{- if gt (len $name) 63 -}}
{{- fail (printf "jobs: the name %q is longer than 63 characters; shorten the job's name" $name) -}}
{{- end -}}
{{- $name -}}
{{- end }}
