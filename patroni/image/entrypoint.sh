#!/usr/bin/env bash
# Runs one Patroni member on /data. The lock on the data directory is held for as long as
# this container lives, so that two containers never open the same directory: neither the
# volume nor the scheduler promises that.
set -euo pipefail

data=${DATA_DIR:-/data}
config=${PATRONI_CONFIG:-/secrets/patroni}

if ! touch "$data/.lock"; then
  echo "entrypoint: $data cannot be written by uid $(id -u): give the volume to that uid" >&2
  exit 1
fi
exec 9<>"$data/.lock"
if ! flock --nonblock 9; then
  echo "entrypoint: $data is in use by another container, waiting up to 30 s for its lock" >&2
  if ! flock --timeout 30 9; then
    echo "entrypoint: $data is still in use, giving up" >&2
    exit 1
  fi
fi

# From here on no other postmaster can be alive on this directory. A pid file that a killed
# one left names a pid of a pid namespace that is gone; in ours any process may carry it,
# and PostgreSQL would refuse to start because of it.
rm -f "$data/pgdata/postmaster.pid"

# The leader key of the life before, were it the leader's, would otherwise stand until its
# session times out. Not being able to end it costs time, nothing else.
release_session.py || echo "entrypoint: the old Consul session is left to time out" >&2

# Patroni becomes process 1 with descriptor 9 open: the lock ends with the container.
exec patroni "$config"
