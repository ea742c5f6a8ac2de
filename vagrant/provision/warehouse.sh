#!/usr/bin/env bash
# warehouse.sh run | report … | sql … | dictionary …: makes a version now, or answers from the published one.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# newest is the run that began last; state what became of it.
newest() { curl -fsS "$NOMAD_ADDR/v1/jobs?prefix=warehouse/" | jq -r 'max_by(.SubmitTime).ID // empty'; }
state() { curl -fsS "$NOMAD_ADDR/v1/job/$(jq -rn --arg id "$1" '$id | @uri')/allocations" | jq -r 'max_by(.CreateIndex).TaskStates.export | if . == null or .State != "dead" then "running" elif .Failed then "failed" else "complete" end'; }

if [ "${1:-}" = run ]; then
	nomad job periodic force -detach warehouse >/dev/null || die "the warehouse's job does not run: 'go tool task up' starts it"
	start=$SECONDS run=$(newest)
	until [[ "$(state "$run")" =~ ^(complete|failed)$ ]]; do
		[ $((SECONDS - start)) -lt 3600 ] || die "$run did not end in an hour"
		[ $(((SECONDS - start) % 10)) != 9 ] || say "  $((SECONDS - start)) s"
		sleep 1
	done
	for stream in -stdout -stderr; do nomad alloc logs "$stream" -task export -job "$run" 2>/dev/null | sed 's/^/  /' || true; done
	[ "$(state "$run")" = complete ] || die "no version was published"
	exit 0
fi

# What is written outside this folder would be gone with the container.
previous=''
for word in "$@"; do
	[[ ! "$previous" =~ ^--?out$ ]] || word=--out=$word
	[[ ! "$word" =~ ^--?out=(/|\.\./|.*/\.\./) ]] || die "--out is a file in the folder where you are, or below it, not ${word#*=}"
	previous=$word
done

become_root "$@"
volume=$(curl -fsS "$NOMAD_ADDR/v1/volumes?type=host" 2>/dev/null | jq -r '.[] | select(.Name == "warehouse").ID' || true)
[ -n "$volume" ] || die "there is no warehouse: 'go tool task up' makes one"
data=$(curl -fsS "$NOMAD_ADDR/v1/volume/host/$volume" | jq -r .HostPath)
[ -d "$data" ] || die "the warehouse is on another machine, in $data: ask there"
terminal=()
[ ! -t 0 ] || terminal=(--tty)
# What it writes, it writes here; it reaches nothing else, and no network.
exec docker run --rm --interactive "${terminal[@]}" --network none --user 0:0 --memory 600m \
	--volume "$data:/data:ro" --volume "${USER_WORKING_DIR:-$PWD}:/work" --workdir /work \
	"bookstore/warehouse:$(image_version warehouse)" "$@"
