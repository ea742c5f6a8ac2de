#!/usr/bin/env bash
# redis-scale.sh COUNT: makes the Redis cluster one of so many nodes, half of them masters, while it serves.
# The nodes do it themselves (jobs/redis/care): here they are told, made or removed, and watched.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

target=${1:-}
[[ "$target" =~ ^(6|8|10|12)$ ]] || die "say how many nodes: go tool task redis:scale -- 6, 8, 10 or 12"

running() { curl -fsS "$NOMAD_ADDR/v1/job/redis/allocations" | jq -r 'map(select(.ClientStatus == "running" and .DesiredStatus == "run")) | sort_by(.CreateIndex)'; }
wanted() { curl -fsS "$CONSUL_HTTP_ADDR/v1/kv/redis/count?raw" 2>/dev/null || echo "$now"; }
want() { curl -fsS -X PUT --data "$1" "$CONSUL_HTTP_ADDR/v1/kv/redis/count" >/dev/null; }

# view prints "index id role slots master" for each node, as the oldest node sees it.
view() {
	local alloc
	alloc=$(running | jq -r '.[0].ID')
	nomad alloc exec -i=false -t=false -task redis "$alloc" redis-care show 2>/dev/null
}

# left prints what there is to do until the cluster is as it should be; "go": until nodes beyond the target may go.
left() {
	view | awk -v target="$target" -v only="${1:-}" '
		$3 == "master" && $4 > 0 {
			holders++; holder[$2]
			shares = shares " " $4
			if ($1 >= target) going += $4
			if ($4 > most) most = $4
			if (least == "" || $4 < least) least = $4
		}
		$3 == "replica" && $1 < target { copied[$5] }
		END {
			for (id in holder) if (!(id in copied)) alone++
			if (NR == 0) print "no node answers"
			else if (only != "go" && NR != target) print NR " nodes, to be " target
			else if (going) print going " slots on nodes that are to go, slots per master:" shares
			else if (holders != target / 2) print holders " masters, slots per master:" shares
			else if (most > 1.1 * least) print "slots per master:" shares
			else if (alone) print alone " masters wait for a replica"
		}'
}

# watch reports what is left to do until nothing is, three times in a row: each node has its own view.
watch() {
	local start=$SECONDS line last='' quiet=0
	while [ "$quiet" -lt 3 ]; do
		line=$(left "$@") || line="no node answers"
		[ -z "$line" ] && quiet=$((quiet + 1)) || quiet=0
		if [ -n "$line" ] && [ "$line" != "$last" ]; then
			printf '  %3ss %s\n' $((SECONDS - start)) "$line"
			last=$line
		fi
		[ $((SECONDS - start)) -lt 600 ] || die "the cluster is not as it should be after 600 s: $line; 'go tool task logs -- redis' shows what it tries"
		sleep 1
	done
}

# scale sets how many nodes Nomad runs.
scale() { nomad job scale -detach redis redis "$1" >"$LOGS/redis-scale.log" 2>&1; }

deployed() { curl -fsS "$NOMAD_ADDR/v1/job/redis/deployment" | jq -e '. == null or .Status == "successful"'; }

# remove_volumes FIRST LAST removes what the nodes that went kept: nothing but their place in the cluster.
remove_volumes() {
	local i id
	for ((i = $1; i <= $2; i++)); do
		id=$(curl -fsS "$NOMAD_ADDR/v1/volumes?type=host" | jq -r --arg name "redis[$i]" '.[] | select(.Name == $name) | .ID')
		[ -z "$id" ] || wait_for 60 "the end of what used the volume redis[$i]" nomad volume delete -type host "$id"
	done
}

now=$(running | jq length)
before=$(wanted)
wait_for 120 "the end of a deployment of redis" deployed
stage "redis: from $now nodes to $target"
if [ "$target" -ge "$now" ]; then
	shop volumes "$target"
	want "$target"
	if ! scale "$target"; then
		want "$before"
		die "Nomad does not scale redis: $(cat "$LOGS/redis-scale.log")"
	fi
	watch
else
	want "$target"
	watch go
	scale "$target" || die "Nomad does not scale redis: $(cat "$LOGS/redis-scale.log")"
	watch
	remove_volumes "$target" $((now - 1))
fi
wait_for 180 "the end of the deployment" deployed
say "  redis has $target nodes"
