#!/usr/bin/env bash
# Runs one Redis node, and beside it the loop that joins it to the cluster and mends that, and
# the watch that takes a dead master's place.
# Ports and addresses come from the job's environment, the rest from redis.conf and the arguments.
set -euo pipefail

exec 9<>"${REDIS_DATA:-/data}/.lock"
if ! flock --nonblock 9 && ! flock --timeout 20 9; then
  echo "entrypoint: /data is in use by another container" >&2
  exit 1
fi

# The check of the port connects without a word, which Redis takes for a failed handshake
# and logs as a warning each time.
exec {log}> >(exec grep --line-buffered -v 'unexpected eof while reading')
logger=$!

redis-server "${REDIS_CONF:?}" \
  --bind "${REDIS_ADDRESS:?}" --tls-port "${REDIS_PORT:?}" --cluster-port "${REDIS_BUS_PORT:?}" \
  --cluster-announce-ip "$REDIS_ADDRESS" \
  --cluster-announce-tls-port "$REDIS_PORT" --cluster-announce-bus-port "$REDIS_BUS_PORT" "$@" >&"$log" &
server=$!
exec {log}>&-

cluster.sh 9<&- &
cluster=$!
takeover.sh 9<&- &
takeover=$!

# The server's end is the container's end. A signal interrupts the wait, hence the loop.
trap 'kill -TERM "$server" 2>/dev/null || true' TERM INT
status=0
while kill -0 "$server" 2>/dev/null; do
  status=0
  wait "$server" || status=$?
done
kill "$cluster" "$takeover" 2>/dev/null || true
wait "$logger" || true
exit "$status"
