#!/bin/sh
# Runs PostgreSQL with a shared lock on its volume, which all its processes inherit: while one of them
# lives, the lock tells. The container's own lock does not, see README.md, "Who may release a leader's key".
set -eu

exec 8<>"${DATA_DIR:-/data}/.postgres.lock"
flock --shared --timeout 5 8 || {
	echo "postgres.sh: another container holds the lock of PostgreSQL on this volume" >&2
	exit 1
}
# Where processors are short Patroni goes first: clients that all come back at once would keep it from electing.
exec nice -n 10 /usr/lib/postgresql/15/bin/postgres "$@"
