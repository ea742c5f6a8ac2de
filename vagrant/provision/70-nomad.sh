#!/usr/bin/env bash
# Nomad: schedules every job of the shop. With --settings the agent's settings are written and it runs on, with --anew it is
# started anew ('shop rotate').
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

umask 077
config=$STATE/nomad
mkdir -p "$config" "$STATE/volumes"

enabled() { if [ "$BOOKSTORE_ROLE" = "$1" ] || [ "$BOOKSTORE_ROLE" = both ]; then echo true; else echo false; fi; }
agent() {
	sed -e "s|@ADDRESS@|$(node_address)|" -e "s|@INTERFACE@|$BOOKSTORE_INTERFACE|" -e "s|@STATE@|$STATE|" -e "s|@ACCESS@|$ACCESS|" \
		-e "s|@SERVER@|$(enabled server)|" -e "s|@CLIENT@|$(enabled client)|" \
		-e "s|@S3@|${BOOKSTORE_S3:-$(node_address)}|" -e "s|@MEMORY@|$BOOKSTORE_MEMORY|" -e "s|@CPU@|$BOOKSTORE_CPU|" \
		-e "s|@BOOTSTRAP@|$BOOKSTORE_BOOTSTRAP|" -e "s|@ENVOY@|$ENVOY_VERSION|" -e "s|@VERSION@|$VERSION|" \
		-e "s|@SERVERS@|$(jq -cn --arg s "$BOOKSTORE_SERVERS" '$s | split(",") | map(select(. != ""))')|" \
		"$PROVISION/nomad/agent.hcl"
}
access() {
	cat <<-EOF
		server {
		  encrypt = "$(<"$ACCESS/nomad.gossip")"
		}
		consul {
		  token = "$(<"$ACCESS/agent.nomad")"
		}
	EOF
}
agent >"$config/agent.hcl.new"
access >"$config/access.hcl.new"
case "${1:-}" in
--settings)
	take "$config/agent.hcl" "$config/access.hcl"
	exit
	;;
--anew) terminate nomad ;;
esac
settle nomad "$config/agent.hcl" "$config/access.hcl" || true

daemon nomad nomad agent -config="$config/agent.hcl" -config="$config/access.hcl"
wait_for "$PATIENCE" "Nomad" leads "$NOMAD_ADDR"
