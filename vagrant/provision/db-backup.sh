#!/usr/bin/env bash
# db-backup.sh [--detach]: makes the backup that is due now, without waiting for the hour.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

newest() { curl -fsS "$NOMAD_ADDR/v1/jobs?prefix=backup/" | jq -r 'max_by(.SubmitTime).ID // empty'; }
state() { curl -fsS "$NOMAD_ADDR/v1/job/$(jq -rn --arg id "$1" '$id | @uri')/allocations" | jq -r 'max_by(.CreateIndex).ClientStatus // "pending"'; }

nomad job periodic force -detach backup >/dev/null || die "the job backup is not there: 'go tool task up' submits it"
[ "${1:-}" != --detach ] || exit 0
start=$SECONDS run=$(newest)
until [[ "$(state "$run")" =~ ^(complete|failed|lost)$ ]]; do
	[ $((SECONDS - start)) -lt 7200 ] || die "$run did not end in two hours"
	[ $(((SECONDS - start) % 10)) != 9 ] || say "  $((SECONDS - start)) s, $(state "$run")"
	sleep 1
done
for task in backup verify; do
	for stream in -stdout -stderr; do nomad alloc logs "$stream" -task "$task" -job "$run" 2>/dev/null | sed 's/^/  /' || true; done
done
[ "$(state "$run")" = complete ] || die "the backup failed"
