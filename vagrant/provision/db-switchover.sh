#!/usr/bin/env bash
# db-switchover.sh [MEMBER]: has another member of the database lead, the one named or any that has everything.
# Writes wait for a second or two meanwhile.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=db.sh
. "$(dirname "$0")/db.sh"

[ $# -le 1 ] || die "name one member: go tool task db:switchover -- patroni-2"
now=$(cluster)
leader=$(jq -r '.members[] | select(.role == "leader") | .name' <<<"$now")
[ -n "$leader" ] || die "no member leads: there is nothing to hand over"
ready=$(jq -r '.members[] | select((.role | endswith("_standby")) and .state == "streaming") | .name' <<<"$now")
[ -n "$ready" ] || die "no other member has everything: $(show_members <<<"$now")"
candidate=${1:-$(shuf -n 1 <<<"$ready")}
[ "$candidate" != "$leader" ] || die "$candidate leads already"
grep -Fxq -- "$candidate" <<<"$ready" || die "'$candidate' cannot lead now; these can: ${ready//$'\n'/, }"

password=$(curl -fsS "$NOMAD_ADDR/v1/var/nomad%2Fjobs%2Fpatroni" | jq -r .Items.rest_password)
url=$(jq -r --arg name "$leader" '.members[] | select(.name == $name) | .api_url | sub("/patroni$"; "/switchover")' <<<"$now")
say "from $leader to $candidate …"
# The password goes in by a file, not by an argument that others on the machine can read.
answer=$(curl -sS --max-time 30 --config - -H 'Content-Type: application/json' -w '\n%{http_code}' \
	--data "$(jq -cn --arg leader "$leader" --arg candidate "$candidate" '$ARGS.named')" "$url" <<<"user = \"patroni:$password\"")
[ "${answer##*$'\n'}" = 200 ] || die "the members refused: ${answer%$'\n'*}"
say "${answer%$'\n'*}"
cluster | show_members
