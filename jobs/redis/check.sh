#!/usr/bin/env bash
# check.sh IMAGE: starts Redis with redis.conf in the image that will run it, with a
# certificate and users made for the purpose, and asks it for a sign of life through TLS.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
image=${1:?usage: check.sh IMAGE}

secrets=$(mktemp -d)
trap 'rm -rf "$secrets"' EXIT
mkdir "$secrets/tls" "$secrets/redis"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=check \
  -keyout "$secrets/key.pem" -out "$secrets/tls/ca.pem" 2>/dev/null
cat "$secrets/tls/ca.pem" "$secrets/key.pem" >"$secrets/tls/leaf.pem"
# The users of users.acl.tpl, each with the same password and no second one.
hash=$(printf checked | sha256sum | cut -d' ' -f1)
sed -nE "s/\{\{ ?with .*\{\{ ?end \}\}//; s/\{\{ \.[^}]+\}\}/$hash/; /^user/p" "$here/users.acl.tpl" >"$secrets/redis/users.acl"
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
    tls=(--tls --cacert /secrets/tls/ca.pem --cert /secrets/tls/leaf.pem --key /secrets/tls/leaf.pem)
    for user in gateway books cluster; do
      [[ $(redis-cli "${tls[@]}" --user "$user" --no-auth-warning ping) == PONG ]]
    done'
echo "redis.conf and users.acl.tpl: valid"
