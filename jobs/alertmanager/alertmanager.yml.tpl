# Who is told of an alert, when, and of which alerts nobody is told because another says it. Severities: critical, to be acted
# on now; warning, within a day. The receivers are items of the job's variable ('go tool task alerts' writes them); without
# any, alerts are on the page alone.
{{- with nomadVar "nomad/jobs/alertmanager" }}
{{- if and .smtp_smarthost.Value .email_from.Value .email_to.Value }}
global:
  smtp_smarthost: {{ .smtp_smarthost.Value | toJSON }}
  smtp_from: {{ .email_from.Value | toJSON }}
  smtp_require_tls: true
{{- if and .smtp_username.Value .smtp_password.Value }}
  smtp_auth_username: {{ .smtp_username.Value | toJSON }}
  smtp_auth_password: {{ .smtp_password.Value | toJSON }}
{{- end }}
{{- end }}

route:
  receiver: operator
  # What is wrong in several places at once is told together.
  group_by: [alertname, job]
  group_wait: 10s
  group_interval: 1m
  repeat_interval: 12h
  routes:
    - matchers: [severity = critical]
      group_wait: 5s
      repeat_interval: 1h

inhibit_rules:
  # A machine that is gone takes with it what ran there.
  - source_matchers: [alertname = MachineMissing]
    target_matchers:
      - alertname =~ "TargetDown|InstanceMissing|PlacementBlocked|ServerMissing|RedisNodeMissing|DatabaseMemberMissing|DatabaseMemberBehind"

  # Without a leader of the database nothing is written, decided or exported.
  - source_matchers: [alertname = DatabaseHasNoLeader]
    target_matchers:
      - alertname =~ "BranchPreparedTooLong|BranchesNotScanned|TransactionUnfinished|TransactionStalled|TransactionsPileUp|ChangesNotAnnounced|CleanerBehind|WarehouseStale|CircuitOpen"

  # The same SLO, spent at a rate of days where it is spent at a rate of hours already.
  - source_matchers: [severity = critical, sloth_slo != ""]
    target_matchers: [severity = warning, sloth_slo != ""]
    equal: [sloth_id]

receivers:
  - name: operator
{{- if .webhook_url.Value }}
    webhook_configs:
      - url: {{ .webhook_url.Value | toJSON }}
        send_resolved: true
        max_alerts: 100
        timeout: 10s
{{- end }}
{{- if and .smtp_smarthost.Value .email_from.Value .email_to.Value }}
    email_configs:
      - to: {{ .email_to.Value | toJSON }}
        send_resolved: true
{{- end }}
{{- end }}
