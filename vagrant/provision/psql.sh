#!/usr/bin/env bash
# psql.sh DATABASE [PSQL ARGUMENTS…]: psql on the leader, as the superuser.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

database=${1:-}
[ -n "$database" ] || die "name a database: bookdb, orderdb, paymentdb or coordinatordb"
shift
members=$(curl -fsS "$CONSUL_HTTP_ADDR/v1/health/service/patroni" 2>/dev/null) || die "the shop is down: 'go tool task up' brings it up"
PGPASSWORD=$(curl -fsS "$NOMAD_ADDR/v1/var/nomad%2Fjobs%2Fpatroni" | jq -r .Items.superuser_password)
export PGPASSWORD
exec psql "host=$(jq -r '[.[].Service.Address] | join(",")' <<<"$members") port=$(jq -r '[.[].Service.Port | tostring] | join(",")' <<<"$members") user=postgres dbname=$database sslmode=require target_session_attrs=read-write" "$@"
