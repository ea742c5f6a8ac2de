#!/usr/bin/env bash
# What runs, and how well: agents, jobs, instances as Consul sees them.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

if ! consul_up 2>/dev/null || ! nomad_up >/dev/null 2>&1; then
	say "The shop is down: 'go tool task up' brings it up."
	exit 1
fi
nomad job status
echo
curl -fsS "$CONSUL_HTTP_ADDR/v1/health/state/any" | jq -r '
	[.[] | select(.ServiceName != "")] | group_by(.ServiceName)[]
	| "\(.[0].ServiceName): \(map(select(.Status == "passing")) | length) of \(length) checks passing"'
