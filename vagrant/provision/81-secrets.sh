#!/usr/bin/env bash
# Generated passwords and tokens, stored as Nomad Variables. What is there is never changed.
# A job reads the variables under its own name alone (nomad/jobs/<job>).
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

random() { openssl rand -hex 24; }
variable() { curl -fsS "$NOMAD_ADDR/v1/var/nomad%2Fjobs%2F$1" 2>/dev/null | jq '.Items' || echo '{}'; }

# store JOB KEY=VALUE… adds the items that the job's variable does not have yet.
store() {
	local job=$1 old new
	shift
	old=$(variable "$job")
	new=$(jq -cn --argjson old "$old" '[$ARGS.positional[] | capture("^(?<key>[^=]+)=(?<value>.*)$")] | from_entries + $old' --args "$@")
	[ "$(jq -S . <<<"$new")" != "$(jq -S . <<<"$old")" ] || return 0
	jq -cn --arg path "nomad/jobs/$job" --argjson items "$new" '{Path: $path, Items: $items}' |
		curl -fsS -X PUT --data @- "$NOMAD_ADDR/v1/var/nomad%2Fjobs%2F$job" >/dev/null
	say "  passwords for $job stored"
}

# item JOB KEY prints one stored item.
item() { variable "$1" | jq -r --arg key "$2" '.[$key]'; }

store patroni "superuser_password=$(random)" "replication_password=$(random)" "rewind_password=$(random)" "rest_password=$(random)"
store redis "password=$(random)"

logins=("exporter_password=$(random)" "warehouse_password=$(random)")
for database in bookdb orderdb paymentdb coordinatordb; do
	logins+=("${database}_a_password=$(random)" "${database}_b_password=$(random)")
done
store migrate "superuser_password=$(item patroni superuser_password)" "${logins[@]}"
for entry in books:bookdb orders:orderdb payments:paymentdb coordinator:coordinatordb; do
	database=${entry#*:}
	store "${entry%:*}" "db_user=${database}_a" "db_password=$(item migrate "${database}_a_password")"
done
store warehouse "db_password=$(item migrate warehouse_password)"
store books "redis_password=$(item redis password)"
store gateway "redis_password=$(item redis password)" \
	"operator_token=$(random)" "import_token=$(random)" "test_token=$(random)" "bench_token=$(random)"
