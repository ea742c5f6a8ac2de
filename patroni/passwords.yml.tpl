{{- with nomadVar "nomad/jobs/patroni" -}}
restapi:
  authentication:
    password: {{ .rest_password.Value | toJSON }}
postgresql:
  authentication:
    replication:
      password: {{ .replication_password.Value | toJSON }}
    rewind:
      password: {{ .rewind_password.Value | toJSON }}
{{- end }}
