#!/usr/bin/env bash
# The members of the database: which one leads, which ones a commit waits for, how far behind each is.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=db.sh
. "$(dirname "$0")/db.sh"

[ $# = 0 ] || die "db:status takes no arguments"
now=$(cluster)
show_members <<<"$now"
jq -e 'any(.members[]; .role == "leader" and .state == "running")' <<<"$now" >/dev/null || die "no member leads: writes wait"
