#!/usr/bin/env bash
# token.sh [operator|import|test|bench]: prints a token that the gateway accepts.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

name=${1:-operator}
items=$(curl -fsS "$NOMAD_ADDR/v1/var/nomad%2Fjobs%2Fgateway" 2>/dev/null) || die "Nomad has no tokens: 'go tool task up' makes them"
jq -er --arg name "${name}_token" '.Items[$name]' <<<"$items" || die "there is no token '$name': operator, import, test or bench"
