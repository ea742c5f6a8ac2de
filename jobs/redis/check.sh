#!/usr/bin/env bash
# check.sh IMAGE: starts Redis with redis.conf in the image that will run it, with a
# certificate and a user made for the purpose, and asks it for a sign of life through TLS.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
image=${1:?usage: check.sh IMAGE}

secrets=$(mktemp -d)
trap 'rm -rf "$secrets"' EXIT
mkdir "$secrets/tls" "$secrets/redis"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=check \
  -keyout "$secrets/key.pem" -out "$secrets/tls/ca.pem" 2>/dev/null
cat "$secrets/tls/ca.pem" "$secrets/key.pem" >"$secrets/tls/leaf.pem"
echo 'user cluster on >checked ~* +@all' >"$secrets/redis/users.acl" # the true ones are tried by users_test.go
printf 'masteruser cluster\nmasterauth checked\n' >"$secrets/redis/peer.conf"
chmod -R a+rX "$secrets"

docker run --rm --network none --env REDISCLI_AUTH=checked \
  --volume "$secrets:/secrets:ro" --volume "$here/redis.conf:/local/redis.conf:ro" \
  --entrypoint bash "$image" -ec '
    redis-server /local/redis.conf --bind 127.0.0.1 --tls-port 6379 --cluster-port 16379 >/tmp/log 2>&1 &
    server=$!
    until grep -qs "Ready to accept" /tmp/log; do
      kill -0 "$server" 2>/dev/null || { cat /tmp/log >&2; exit 1; }
      sleep 0.1
    done
    [[ $(redis-cli --tls --cacert /secrets/tls/ca.pem --cert /secrets/tls/leaf.pem --key /secrets/tls/leaf.pem \
      --user cluster --no-auth-warning ping) == PONG ]]'
echo "redis.conf: valid"
