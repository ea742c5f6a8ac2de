#!/usr/bin/env bash
# Runs one Patroni member on /data. The locks there are what others know of its life by: neither
# the volume nor the scheduler promises that two containers never open the same directory.
set -euo pipefail

data=${DATA_DIR:-/data}
config=${PATRONI_CONFIG:-/secrets/patroni}

# lock DESCRIPTOR FILE waits for the lock on a file that is open as the descriptor.
lock() {
  flock --nonblock "$1" && return
  echo "entrypoint: $data is in use by another container, waiting up to 30 s for $2" >&2
  if ! flock --timeout 30 "$1"; then
    echo "entrypoint: $data is still in use, giving up" >&2
    exit 1
  fi
}

if ! touch "$data/.lock" "$data/.postgres.lock"; then
  echo "entrypoint: $data cannot be written by uid $(id -u): give the volume to that uid" >&2
  exit 1
fi
# Descriptor 9 stays open, here and in Patroni: this lock ends with both of them.
exec 9<>"$data/.lock"
lock 9 .lock
# PostgreSQL's processes have a lock of their own (postgres.sh). None of an earlier life may be left.
exec 8<>"$data/.postgres.lock"
lock 8 .postgres.lock
exec 8<&-

# From here on no other postmaster can be alive on this directory. A pid file that a killed
# one left names a pid of a pid namespace that is gone; in ours any process may carry it,
# and PostgreSQL would refuse to start because of it.
rm -f "$data/pgdata/postmaster.pid" "$data/.stopping"

# Nomad gives the task a token of Consul's; Patroni knows it by another name.
export PATRONI_CONSUL_TOKEN=$CONSUL_HTTP_TOKEN

# The leader key of the life before, were it the leader's, would otherwise stand until its
# session times out. Not being able to end it costs time, nothing else.
release_session.py || echo "entrypoint: the old Consul session is left to time out" >&2

# A leader that is to stop hands over first, and nobody that is to stop begins to lead (member.py); everything else about
# stopping is Patroni's.
# shellcheck disable=SC2317 # the trap calls it
stop() {
  trap '' TERM INT
  touch "$data/.stopping"
  hand_over.py || echo "entrypoint: nobody takes over, Patroni stops as the leader" >&2
  kill -TERM "$patroni"
}
member.py "$config" &
patroni=$!
trap stop TERM INT
trap 'kill -HUP "$patroni"' HUP
# A signal ends a wait, not Patroni.
status=1
while kill -0 "$patroni" 2>/dev/null; do
  wait "$patroni" && status=0 || status=$?
done
exit "$status"
