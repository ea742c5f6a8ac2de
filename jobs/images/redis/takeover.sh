#!/usr/bin/env bash
# Has this node take its master's place once the master is surely dead. Redis by itself waits
# out cluster-node-timeout and an election's delays, some three seconds, in which a master that
# was killed is back, empty, and its replica copies that. A connection refused is certain at
# once: nobody listens there. For a master that only does not answer, Redis's own way remains.
set -uo pipefail

readonly socket=${REDIS_SOCKET:-/tmp/redis.sock}
redis() { REDISCLI_AUTH=$(<"${REDIS_PASSWORD_FILE:?}") redis-cli -s "$socket" "$@"; }

# refused HOST PORT tells whether nobody listens there.
refused() {
  [[ $(LC_ALL=C timeout 0.5 bash -c "exec 3<>/dev/tcp/$1/$2" 2>&1) == *"Connection refused"* ]]
}

# watch reads how replication fares, four times a second. Only a node that had its master's
# copy takes over: when all nodes start at once, a master is not dead but late.
watch() {
  local key value host='' port='' copied=0
  while IFS=: read -r key value; do
    value=${value%$'\r'}
    case $key in
      role) [[ $value == slave ]] || copied=0 ;;
      master_host) host=$value ;;
      master_port) port=$value ;;
      master_link_status)
        if [[ $value == up ]]; then
          copied=1
        elif ((copied)) && refused "$host" "$port"; then
          copied=0
          echo "takeover: nobody listens at $host:$port: $(redis cluster failover force)"
        fi
        ;;
    esac
  done
}

until [[ -S $socket ]]; do sleep 0.1; done
while true; do
  redis -r -1 -i 0.25 info replication | watch
  sleep 1
done
