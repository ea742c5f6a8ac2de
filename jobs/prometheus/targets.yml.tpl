{{- /* Every instance in Consul whose meta says where its KIND of metrics is. A sidecar repeats its service's meta. */ -}}
{{- range services }}
{{- if not (regexMatch "-sidecar-proxy$" .Name) }}
{{- range service (printf "%s|any" .Name) }}
{{- $instance := . }}
{{- with index .ServiceMeta "KIND" }}
- targets: ["{{ . }}"]
  labels:
    service: {{ $instance.Name }}
    instance_id: {{ $instance.ID | regexReplaceAll "^_nomad-task-([0-9a-f]{8}).*" "$1" }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
