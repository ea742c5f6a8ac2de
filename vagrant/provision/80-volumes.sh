#!/usr/bin/env bash
# The volumes that database members keep their data on: one a member, spread over the ready nodes.
# Nomad runs jobs, volumes are not jobs: so they are made here. 80-volumes.sh [COUNT]: of Redis so many, else as
# many as redis-scale.sh gave it last.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

mapfile -t nodes < <(curl -fsS "$NOMAD_ADDR/v1/nodes" | jq -r '.[] | select(.Status == "ready") | .ID' | sort)
existing=$(curl -fsS "$NOMAD_ADDR/v1/volumes?type=host" | jq -r '.[].Name')

# volumes JOB COUNT UID makes JOB[0] … JOB[COUNT-1], owned by the user that the image runs as.
volumes() {
	local job=$1 count=$2 uid=$3 i
	for ((i = 0; i < count; i++)); do
		grep -Fxq "${job}[$i]" <<<"$existing" && continue
		nomad volume create -detach - >/dev/null <<-HCL || die "the volume ${job}[$i] could not be made: 'nomad volume status -type host' shows what is there"
			type      = "host"
			name      = "${job}[$i]"
			plugin_id = "mkdir"
			node_id   = "${nodes[i % ${#nodes[@]}]}"
			parameters {
			  mode = "0700"
			  uid  = $uid
			  gid  = $uid
			}
			capability {
			  access_mode     = "single-node-multi-writer"
			  attachment_mode = "file-system"
			}
		HCL
		made=$((made + 1))
	done
}

made=0
volumes patroni 5 10001
volumes redis "${1:-$(curl -fsS "$CONSUL_HTTP_ADDR/v1/kv/redis/count?raw" 2>/dev/null || echo 6)}" 10002
[ "$made" = 0 ] || say "  $made volumes made"
