{{- /* Who may do what: rendered by Nomad, with the passwords' hashes alone. An item <user>_other is a second password that
holds too, while one rotates; who has no password is off; an item "password" is that of a shop in which everybody was the user default. */ -}}
{{- with nomadVar "nomad/jobs/redis" -}}
user default reset{{ with .password.Value }} on #{{ . | sha256Hex }} ~* &* +@all{{ end }}
user gateway reset{{ with .gateway_password.Value }} on #{{ . | sha256Hex }}{{ end }}{{ with .gateway_other.Value }} #{{ . | sha256Hex }}{{ end }} ~book:{* ~{near}:* ~limit:{* +ping +cluster|slots +asking +readonly +eval +evalsha +blmpop +scan +unlink +time +info|replication +cluster|nodes +hget +hmget +hgetall +hset +hdel +del +rpush +pttl +pexpire
user books reset{{ with .books_password.Value }} on #{{ . | sha256Hex }}{{ end }}{{ with .books_other.Value }} #{{ . | sha256Hex }}{{ end }} ~book:{* ~{near}:* +ping +cluster|slots +asking +eval +evalsha +blmpop +time +info|replication +cluster|nodes +hget +hmget +hgetall +hset +hdel +del +rpush +pexpire
user cluster reset{{ with .cluster_password.Value }} on #{{ . | sha256Hex }}{{ end }}{{ with .cluster_other.Value }} #{{ . | sha256Hex }}{{ end }} ~* +ping +psync +replconf +cluster +info +select +migrate +restore +restore-asking +acl +config|get +config|set +flushall +dbsize +multi +exec
{{ end -}}
