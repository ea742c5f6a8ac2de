# Whoever calls has the password: Prometheus, and the operator's browser. Without one, any page in that browser could silence alerts.
basic_auth_users:
  operator: {{ with nomadVar "nomad/jobs/alertmanager" }}{{ .password.Value | sprig_bcrypt }}{{ end }}
