#!/usr/bin/env bash
# restart.sh [JOB…]: restarts the services one instance at a time, each healthy again before the next.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

for job in "${@:-books orders payments coordinator gateway}"; do
	for name in $job; do
		stage "restarting $name"
		nomad job restart -yes -batch-wait=10s "$name"
	done
done
