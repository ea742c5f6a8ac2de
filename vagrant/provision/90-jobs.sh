#!/usr/bin/env bash
# 90-jobs.sh [JOB…]: submits the jobs in jobs/, or those, and waits until every one of them is healthy.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

VARS=${BOOKSTORE_VARS:-$ROOT/jobs/vars/one.hcl}
cd "$ROOT"

# submit JOB runs a job with the image that its inputs make; an unchanged job is left as it runs.
submit() {
	local job=$1 args=(-detach -hcl2-strict=false "-var-file=$VARS")
	# How many nodes Redis has is redis-scale.sh's to say.
	[ "$job" != redis ] || args+=(-preserve-counts)
	# The ingress alone has no image of its own: Nomad takes the mesh's Envoy.
	grep -q '^variable "version"' "jobs/$job.nomad.hcl" && args+=("-var=version=$(image_version "$job")")
	# It proves backups in the members' image.
	[ "$job" != backup ] || args+=("-var=patroni_version=$(image_version patroni)")
	nomad job run "${args[@]}" "jobs/$job.nomad.hcl" >"$LOGS/submit-$job.log" 2>&1 ||
		die "Nomad refused jobs/$job.nomad.hcl: $(cat "$LOGS/submit-$job.log")"
}

# state_of JOB prints one word (ready, failed) or how far it is.
state_of() {
	local job=$1 version stable deployment
	read -r version stable < <(curl -fsS "$NOMAD_ADDR/v1/job/$job" | jq -r '"\(.Version) \(.Stable)"')
	if [ "$job" = migrate ]; then
		curl -fsS "$NOMAD_ADDR/v1/job/$job/allocations" | jq -r --argjson v "$version" '
			map(select(.JobVersion == $v)) | if any(.ClientStatus == "complete") then "ready"
			elif any(.ClientStatus == "failed" and .NextAllocation == "") then "failed" else "running" end'
		return
	fi
	deployment=$(curl -fsS "$NOMAD_ADDR/v1/job/$job/deployment")
	# Nomad forgets a deployment after an hour, or sooner, but not that it was a success.
	jq -r --argjson v "$version" --argjson stable "$stable" '
		if . == null and $stable then "ready"
		elif . == null or .JobVersion != $v then "scheduling"
		elif .Status == "successful" then "ready"
		elif .Status == "failed" or .Status == "cancelled" then "failed"
		else [.TaskGroups[] | "\(.HealthyAllocs)/\(.DesiredTotal)"] | join(" ") end' <<<"$deployment"
}

# await JOB… reports what changes until all are ready.
await() {
	local start=$SECONDS job state waiting last='' line
	while :; do
		waiting=() line=''
		for job in "$@"; do
			state=$(state_of "$job")
			[ "$state" != failed ] || die "job $job failed: 'go tool task logs -- $job' shows why, 'go tool task status' the rest"
			[ "$state" = ready ] || waiting+=("$job $state")
		done
		[ "${#waiting[@]}" != 0 ] || return 0
		line=$(printf '%s, ' "${waiting[@]}")
		if [ "$line" != "$last" ] || [ $(((SECONDS - start) % 10)) = 0 ]; then
			printf '  %3ss waiting for %s\n' $((SECONDS - start)) "${line%, }"
			last=$line
		fi
		[ $((SECONDS - start)) -lt 600 ] || die "not all jobs were ready after 600 s: ${line%, }; 'go tool task status' shows where they are"
		sleep 1
	done
}

# In the order in which one waits for the other; all start at once.
jobs=(patroni redis migrate ingress prometheus books orders payments coordinator gateway)
[ "$#" = 0 ] || jobs=("$@")
for job in "${jobs[@]}"; do submit "$job"; done
await "${jobs[@]}"
[ "$#" = 0 ] || exit 0

# These run by the clock; a cluster that was never backed up does not wait for that.
submit warehouse
submit backup
if [ "$(curl -fsS "$NOMAD_ADDR/v1/jobs?prefix=backup/" | jq length)" = 0 ]; then
	bash "$PROVISION/db-backup.sh" --detach
fi
