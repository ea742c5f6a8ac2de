#!/usr/bin/env bash
# logs.sh JOB [TASK]: the last lines of every allocation of a job, the newest allocation last.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

job=${1:-}
[ -n "$job" ] || die "name a job: 'go tool task logs -- books' ($(cd "$ROOT/jobs" && echo *.nomad.hcl | sed 's/.nomad.hcl//g'))"
allocations=$(curl -fsS "$NOMAD_ADDR/v1/job/$job/allocations") || die "there is no job $job, or the shop is down: 'go tool task status' tells"
jq -r 'sort_by(.CreateIndex)[-8:][] | "\(.ID) \(.ClientStatus)"' <<<"$allocations" | while read -r id status; do
	stage "$job ${id:0:8} ($status)"
	task=${2:-$(curl -fsS "$NOMAD_ADDR/v1/allocation/$id" | jq -r --arg job "$job" '.TaskStates | keys | if index($job) then $job else .[0] end')}
	for stream in stdout stderr; do
		nomad alloc logs "$([ $stream = stderr ] && echo -stderr || echo -stdout)" -tail -n 40 "$id" "$task" 2>/dev/null || true
	done
	curl -fsS "$NOMAD_ADDR/v1/allocation/$id" | jq -r '.TaskStates[].Events[] | select(.FailsTask or (.Type | test("Failed|Failure"))) | .DisplayMessage'
done
