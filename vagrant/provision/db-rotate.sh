#!/usr/bin/env bash
# db-rotate.sh [SERVICE…]: gives services new database passwords while they serve; without a name all of them. Each
# service has two logins, of which it uses one: the other gets a new password and takes over, and when nobody is in
# with the first any more, that gets a new password too. Interrupted, it is simply run again.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

declare -A database=([books]=bookdb [orders]=orderdb [payments]=paymentdb [coordinator]=coordinatordb)
services=("$@")
[ $# != 0 ] || services=(books orders payments coordinator)
for service in "${services[@]}"; do
	[ -n "${database[$service]:-}" ] || die "'$service' has no database: name books, orders, payments or coordinator"
done
nomad_up >/dev/null 2>&1 || die "the shop is down: 'go tool task up' brings it up"

variable() { curl -fsS "$NOMAD_ADDR/v1/var/nomad%2Fjobs%2F$1"; }
item() { variable "$1" | jq -er --arg key "$2" '.Items[$key]'; }

# put JOB KEY=VALUE… changes items of a job's variable, unless somebody else changed it meanwhile.
put() {
	local job=$1 old
	shift
	old=$(variable "$job")
	# Through the environment: arguments can be seen by everybody on the machine.
	OLD=$old CHANGES=$(printf '%s\n' "$@") jq -cn '(env.OLD | fromjson) as $old | $old | .Items += (
			env.CHANGES | split("\n") | map(capture("^(?<key>[^=]+)=(?<value>.*)$")) | from_entries)' |
		curl -fsS -X PUT --data @- "$NOMAD_ADDR/v1/var/nomad%2Fjobs%2F$job?cas=$(jq .ModifyIndex <<<"$old")" >/dev/null ||
		die "the variable nomad/jobs/$job could not be changed; run this again"
}

# declare_logins has the job migrate, which gives every login the password that the variable has, run once more.
declare_logins() {
	local job
	job=$(curl -fsS "$NOMAD_ADDR/v1/job/migrate")
	nomad job stop -detach migrate >/dev/null
	jq -c '{Job: (. + {Stop: false})}' <<<"$job" | curl -fsS -X PUT --data @- "$NOMAD_ADDR/v1/jobs" >/dev/null
	wait_for 120 "the end of the job migrate" declared
}

declared() {
	local version
	version=$(curl -fsS "$NOMAD_ADDR/v1/job/migrate" | jq .Version)
	curl -fsS "$NOMAD_ADDR/v1/job/migrate/allocations" | jq -e --argjson v "$version" 'any(.JobVersion == $v and .ClientStatus == "complete")'
}

other() { if [ "$1" = "${2}_a" ]; then echo "${2}_b"; else echo "${2}_a"; fi; }

# in_use LOGIN… counts the connections that these logins have, on all members.
in_use() {
	local logins members host port count total=0
	members=$(curl -fsS "$CONSUL_HTTP_ADDR/v1/health/service/patroni" | jq -er '.[].Service | "\(.Address) \(.Port)"') || return 1
	logins=$(printf "'%s'," "$@")
	PGPASSWORD=$(item patroni superuser_password)
	export PGPASSWORD
	while read -r host port; do
		count=$(psql "host=$host port=$port user=postgres dbname=postgres sslmode=require connect_timeout=3" -XAtc \
			"select count(*) from pg_stat_activity where usename in (${logins%,})") || return 1
		total=$((total + count))
	done <<<"$members"
	echo "$total"
}

# look_at_pools makes every instance use its pool, which is when it heeds new credentials.
look_at_pools() {
	local service at
	for service in "${services[@]}"; do
		for at in $(curl -fsS "$CONSUL_HTTP_ADDR/v1/health/service/$service" | jq -r '.[].Service.Meta.status'); do
			curl -sS -o /dev/null --max-time 5 "http://$at/health" || true
		done
	done
}

random() { openssl rand -hex 24; }

stage "new passwords for ${services[*]}"
new=() idle=() used=()
for service in "${services[@]}"; do
	login=$(item "$service" db_user)
	used+=("$login")
	idle+=("$(other "$login" "${database[$service]}")")
	new+=("${idle[-1]}_password=$(random)")
done
put migrate "${new[@]}"
declare_logins
say "  ${idle[*]} have new passwords"

for service in "${services[@]}"; do
	login=$(other "$(item "$service" db_user)" "${database[$service]}")
	put "$service" "db_user=$login" "db_password=$(item migrate "${login}_password")"
done
start=$SECONDS last=''
while :; do
	left=$(in_use "${used[@]}") || left='an unknown number of'
	# A service that had no connection may still be about to make one with what it was given before.
	[ "$left" != 0 ] || [ $((SECONDS - start)) -lt 15 ] || break
	[ "$left" = "$last" ] || printf '  %3ss %s connections of %s are left\n' $((SECONDS - start)) "$left" "${used[*]}"
	last=$left
	look_at_pools
	# Connections that nobody uses live for five minutes.
	[ $((SECONDS - start)) -lt 600 ] || die "${used[*]} are still in use after 600 s; run this again when they are not"
	sleep 1
done

new=()
for login in "${used[@]}"; do new+=("${login}_password=$(random)"); done
put migrate "${new[@]}"
declare_logins
say "  ${idle[*]} are in use, and the passwords of ${used[*]} are void"
