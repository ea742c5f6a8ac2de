#!/usr/bin/env bash
# Makes Redis read its certificate, key and CA again. Called when the mesh CA has issued new
# ones; connections that are open stay open.
set -euo pipefail

tls=${REDIS_TLS_DIR:-/secrets/tls}
[[ -S ${REDIS_SOCKET:=/tmp/redis.sock} ]] || exit 0
answer=$(REDISCLI_AUTH=$(<"${REDIS_PASSWORD_FILE:?}") redis-cli -s "$REDIS_SOCKET" config set \
  tls-cert-file "$tls/leaf.pem" tls-key-file "$tls/leaf.pem" tls-ca-cert-file "$tls/ca.pem")
echo "reload: $answer"
[[ $answer == OK ]]
