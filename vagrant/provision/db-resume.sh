#!/usr/bin/env bash
# db-resume.sh [--list]: lists the sagas that wait since a restore before they call the payment provider, and lets
# them go on. The provider may have done more for them than the databases know: compare first.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

sql() { bash "$PROVISION/psql.sh" coordinatordb --no-psqlrc --quiet --set ON_ERROR_STOP=1 "$@"; }

waiting=$(sql --tuples-only --no-align --command "select count(*) from sagas join saga_hold on created_at < before where wake_at is not null")
sql --command "select id as saga, definition, state, coalesce((select s->>'name' from jsonb_array_elements(steps) s
	where s->>'state' in ('running', 'compensating') limit 1), '') as step, created_at
	from sagas join saga_hold on created_at < before where wake_at is not null order by created_at"
if [ "${1:-}" = --list ]; then
	say "  $waiting sagas wait before they call the payment provider; 'go tool task db:resume' lets them go on"
	exit 0
fi
sql --command "delete from saga_hold"
say "  $waiting sagas go on"
