#!/usr/bin/env bash
# Makes PostgreSQL read its certificate, key and CA again. Called when the mesh CA has issued
# new ones; connections that are open stay open. Nothing to do while no server runs.
set -euo pipefail

pgdata=${DATA_DIR:-/data}/pgdata
[[ -f $pgdata/postmaster.pid ]] || exit 0
exec pg_ctl reload --silent --pgdata "$pgdata"
