#!/usr/bin/env bash
# check.sh IMAGE: lets Patroni itself validate patroni.yml, with the environment and the
# passwords that the job adds, in the image that will run it; and tries a script's examples there.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
image=${1:?usage: check.sh IMAGE}

config=$(mktemp -d)
trap 'rm -rf "$config"' EXIT
install -m 644 "$here/patroni.yml" "$config/patroni.yml"
# The template's actions out, a password in where it would stand.
sed -e '/^{{/d' -e 's/{{.*}}/"checked"/' "$here/passwords.yml.tpl" >"$config/passwords.yml"
chmod 755 "$config"
chmod 644 "$config/passwords.yml"

docker run --rm --network none --volume "$config:/secrets/patroni:ro" \
  --env PATRONI_NAME=patroni-0 \
  --env PATRONI_POSTGRESQL_LISTEN=127.0.0.1:5432 --env PATRONI_POSTGRESQL_CONNECT_ADDRESS=172.31.250.1:5432 \
  --env PATRONI_RESTAPI_LISTEN=127.0.0.1:8008 --env PATRONI_RESTAPI_CONNECT_ADDRESS=172.31.250.1:8008 \
  --entrypoint bash "$image" -ec '
    # The validation wants to reach Consul: anything that listens will do.
    python3 -m http.server --bind 127.0.0.1 8500 >/dev/null 2>&1 &
    until (: </dev/tcp/127.0.0.1/8500) 2>/dev/null; do sleep 0.1; done
    patroni --validate-config /secrets/patroni
    python3 -m doctest "$(type -P hand_over.py)"'
echo "patroni.yml: valid; hand_over.py: as its examples say"
