#!/usr/bin/env bash
# The mesh's configuration (jobs/mesh), written before the jobs: it reaches sidecars seconds late.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

for entry in "$ROOT"/jobs/mesh/*.hcl; do
	consul config write "$entry" >/dev/null || die "Consul refused $entry"
done
