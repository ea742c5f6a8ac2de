#!/usr/bin/env bash
# Makes Patroni and PostgreSQL read their certificate, key and CA again. Called when the mesh CA has issued
# new ones; connections that are open stay open. Nothing to do for PostgreSQL while it does not run.
set -euo pipefail

kill -HUP 1 # the entrypoint, which passes it on
pgdata=${DATA_DIR:-/data}/pgdata
[[ -f $pgdata/postmaster.pid ]] || exit 0
exec pg_ctl reload --silent --pgdata "$pgdata"
