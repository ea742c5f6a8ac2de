# shellcheck shell=bash
# What the operators' scripts for the database share. Source it after lib.sh; it is not run.

# cluster prints what the members know of each other, asked of the first that answers.
cluster() {
	local address
	for address in $(curl -fsS "$CONSUL_HTTP_ADDR/v1/health/service/patroni-rest" 2>/dev/null | jq -r '.[].Service | "\(.Address):\(.Port)"'); do
		curl -fsS --max-time 3 "http://$address/cluster" 2>/dev/null && return
	done
	die "no member of the database answers: 'go tool task up' brings the shop up, 'go tool task logs -- patroni' says what is wrong"
}

# show_members prints a table of what cluster printed; lag is what a member has not replayed yet.
show_members() {
	jq -r '["MEMBER", "ROLE", "STATE", "TIMELINE", "LAG", "ADDRESS"], (.members[] | [
		.name, (.role | sub("_"; " ")), .state, .timeline // "-",
		(if .role == "leader" then "-" elif (.replay_lag | type) == "number" then "\(.replay_lag) bytes" else "unknown" end),
		"\(.host):\(.port)"]) | @tsv' |
		awk -F '\t' '{ printf "%-12s %-15s %-10s %-9s %-14s %s\n", $1, $2, $3, $4, $5, $6 }'
}
