#!/usr/bin/env bash
# db-restore.sh --to TIME: brings the four databases back to a point in time and the shop up on them. TIME is
# 'YYYY-MM-DD HH:MM:SS', of UTC or with a zone. What was written since is gone from the shop; the members' data
# of before stays beside the new (pgdata.before) until the next restore. If the recovery fails, the shop comes up as
# it was. Sagas begun before wait until db-resume.sh lets them call the payment provider again.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

if [ "$#" != 2 ] || [ "$1" != --to ]; then
	die "say to when: go tool task db:restore -- --to '2026-01-31 12:00:00'"
fi
time=$2
VARS=${BOOKSTORE_VARS:-$ROOT/jobs/vars/one.hcl}
cd "$ROOT"

exec 9>"$RUN/provision.lock"
flock -n 9 || die "another run of these scripts is under way on this machine: wait for it to end"
if ! consul_up || ! nomad_up >/dev/null; then
	die "Consul or Nomad does not run: 'go tool task up' starts them"
fi

allocations() { curl -fsS "$NOMAD_ADDR/v1/job/$1/allocations"; }
running() { allocations "$1" 2>/dev/null | jq -e 'any(.ClientStatus == "running" or .ClientStatus == "pending")' >/dev/null; }

# stop_jobs JOB… stops them and waits until nothing of them runs.
stop_jobs() {
	local job
	for job in "$@"; do nomad job stop -detach "$job" >/dev/null 2>&1 || true; done
	for job in "$@"; do wait_for 120 "the end of $job" gone "$job"; done
}
gone() { ! running "$1"; }

# step NAME COUNT [TIME] has patroni/image/restore.sh do one step on so many members' volumes and shows what it says.
step() {
	local start=$SECONDS status alloc
	nomad job stop -purge -detach restore >/dev/null 2>&1 || true
	nomad job run -detach -hcl2-strict=false "-var-file=$VARS" "-var=version=$(image_version patroni)" \
		"-var=step=$1" "-var=count=$2" "-var=time=${3:-}" jobs/restore.nomad.hcl >"$LOGS/submit-restore.log" 2>&1 ||
		die "Nomad refused jobs/restore.nomad.hcl: $(cat "$LOGS/submit-restore.log")"
	while :; do
		status=$(allocations restore | jq -r --argjson n "$2" '
			if any(.ClientStatus == "failed" or .ClientStatus == "lost") then "failed"
			elif map(select(.ClientStatus == "complete")) | length == $n then "complete"
			elif any(.ClientStatus == "running") then "running" else "pending" end')
		case $status in complete | failed) break ;; esac
		[ "$status" = running ] || [ $((SECONDS - start)) -lt 120 ] ||
			die "the job restore found no place for 120 s: 'nomad job status restore' shows why"
		[ $(((SECONDS - start) % 10)) != 9 ] || say "  $((SECONDS - start)) s, $status"
		sleep 1
	done
	for alloc in $(allocations restore | jq -r 'sort_by(.Name)[].ID'); do
		nomad alloc logs "$alloc" 2>/dev/null | sed 's/^/  /' | tee -a "$said"
		nomad alloc logs -stderr "$alloc" 2>/dev/null | sed 's/^/  /'
	done
	[ "$status" = complete ]
}

sql() { bash "$PROVISION/psql.sh" "$1" --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 --command "$2"; }

# close_archive sees to it that the archive holds a commit later than any time asked for, where there is a leader.
close_archive() {
	local segment
	if ! segment=$(sql postgres "select txid_current()" >/dev/null && sql postgres "select pg_walfile_name(pg_switch_wal())"); then
		say "  no leader answers: the archive ends with what it has"
		return 0
	fi
	wait_for 60 "$segment in the archive" archived "$segment"
}
archived() { [ "$(sql postgres "select last_archived_wal >= '$1' from pg_stat_archiver")" = t ]; }

# forget_leader makes Consul forget who led and who was synchronous, but not the cluster's settings, and say whose data
# the cluster is of: members without data then wait for the one that has it.
forget_leader() {
	local key
	for key in $(curl -fsS "$CONSUL_HTTP_ADDR/v1/kv/service/patroni/?keys" 2>/dev/null | jq -r '.[] | select(endswith("/config") | not)'); do
		curl -fsS -X DELETE "$CONSUL_HTTP_ADDR/v1/kv/$key" >/dev/null
	done
	curl -fsS -X PUT --data "$1" "$CONSUL_HTTP_ADDR/v1/kv/service/patroni/initialize" >/dev/null
}

# empty_cache drops all that Redis has: books' versions have gone back, which caches otherwise never believe.
empty_cache() {
	local alloc answer
	for alloc in $(allocations redis | jq -r '.[] | select(.ClientStatus == "running") | .ID'); do
		# shellcheck disable=SC2016 # the container's shell expands it
		answer=$(nomad alloc exec -i=false -t=false -task redis "$alloc" \
			bash -c 'REDISCLI_AUTH=$(<"$REDIS_PASSWORD_FILE") redis-cli -s /tmp/redis.sock flushall' | tr -d '\r')
		case $answer in OK | *READONLY*) ;; *) die "a Redis node was not emptied: $answer" ;; esac
	done
}

said=$(mktemp)
trap 'rm -f "$said"' EXIT
members=$(curl -fsS "$NOMAD_ADDR/v1/volumes?type=host" | jq '[.[] | select(.Name | startswith("patroni["))] | length')

stage "looking for a backup"
shop volumes
step check 1 "$time" || die "that cannot be restored; nothing was changed"

stage "stopping what writes"
stop_jobs gateway coordinator books orders payments
close_archive
stop_jobs patroni

stage "recovering up to $time"
if ! step to 1 "$time"; then
	stage "starting the shop as it was"
	shop submit 9>&-
	die "the databases are as they were: the recovery failed, see above"
fi
system=$(sed -n 's/.*system \([0-9]*\) is ready.*/\1/p' "$said")
[ -n "$system" ] || die "the recovered cluster did not say what system it is: see above"
step swap "$members" || die "a member's data could not be moved: see above; /data/restored has the recovered cluster"
forget_leader "$system"

stage "starting the cluster"
nomad job stop -purge -detach migrate >/dev/null 2>&1 || true # it has to run again
shop submit patroni redis migrate 9>&-
sql coordinatordb "insert into saga_hold default values on conflict (only_one) do update set before = excluded.before"
empty_cache

stage "starting the shop"
shop submit 9>&-
bash "$PROVISION/db-backup.sh" --detach
nomad job stop -purge -detach restore >/dev/null
bash "$PROVISION/db-resume.sh" --list
