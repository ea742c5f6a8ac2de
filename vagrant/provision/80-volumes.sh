#!/usr/bin/env bash
# The volumes that database members keep their data on: one a member, spread over the ready nodes. And on each node
# one for the backups: with several nodes it has to be the same file system on all of them (patroni/README.md).
# Nomad runs jobs, volumes are not jobs: so they are made here. 80-volumes.sh [COUNT]: of Redis so many, else as
# many as redis-scale.sh gave it last.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

mapfile -t nodes < <(curl -fsS "$NOMAD_ADDR/v1/nodes" | jq -r '.[] | select(.Status == "ready") | .ID' | sort)
existing=$(curl -fsS "$NOMAD_ADDR/v1/volumes?type=host" | jq -r '.[].Name')

# volume NAME NODE UID makes one, owned by the user that the image runs as.
volume() {
	nomad volume create -detach - >/dev/null <<-HCL || die "the volume $1 could not be made: 'nomad volume status -type host' shows what is there"
		type      = "host"
		name      = "$1"
		plugin_id = "mkdir"
		node_id   = "$2"
		parameters {
		  mode = "0700"
		  uid  = $3
		  gid  = $3
		}
		capability {
		  access_mode     = "single-node-multi-writer"
		  attachment_mode = "file-system"
		}
	HCL
	made=$((made + 1))
}

# volumes JOB COUNT UID makes JOB[0] … JOB[COUNT-1].
volumes() {
	local job=$1 count=$2 uid=$3 i
	for ((i = 0; i < count; i++)); do
		grep -Fxq "${job}[$i]" <<<"$existing" || volume "${job}[$i]" "${nodes[i % ${#nodes[@]}]}" "$uid"
	done
}

made=0
volumes patroni 5 10001
for node in "${nodes[@]}"; do
	curl -fsS "$NOMAD_ADDR/v1/volumes?type=host&node_id=$node" | jq -e 'any(.Name == "backup")' >/dev/null || volume backup "$node" 10001
done
grep -Fxq warehouse <<<"$existing" || volume warehouse "${nodes[0]}" 10003
volumes redis "${1:-$(curl -fsS "$CONSUL_HTTP_ADDR/v1/kv/redis/count?raw" 2>/dev/null || echo 6)}" 10002
[ "$made" = 0 ] || say "  $made volumes made"
