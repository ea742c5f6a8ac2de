{{- with nomadVar "nomad/jobs/patroni" -}}
restapi:
  authentication:
    password: {{ .rest_password.Value | toJSON }}
postgresql:
  authentication:
    superuser:
      password: {{ .superuser_password.Value | toJSON }}
    replication:
      password: {{ .replication_password.Value | toJSON }}
    rewind:
      password: {{ .rewind_password.Value | toJSON }}
{{- end }}
