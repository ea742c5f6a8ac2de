#!/usr/bin/env bash
# Nomad: schedules every job of the shop.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

umask 077
# Its jobs run on while Nomad itself starts anew, with tokens from now on.
if alive nomad && [ ! -e "$STATE/nomad/access.hcl" ]; then terminate nomad; fi
if ! alive nomad; then
	mkdir -p "$STATE/nomad" "$STATE/volumes"
	enabled() { if [ "$BOOKSTORE_ROLE" = "$1" ] || [ "$BOOKSTORE_ROLE" = both ]; then echo true; else echo false; fi; }
	sed -e "s|@ADDRESS@|$(node_address)|" -e "s|@INTERFACE@|$BOOKSTORE_INTERFACE|" -e "s|@STATE@|$STATE|" -e "s|@ACCESS@|$ACCESS|" \
		-e "s|@SERVER@|$(enabled server)|" -e "s|@CLIENT@|$(enabled client)|" \
		-e "s|@BOOTSTRAP@|$BOOKSTORE_BOOTSTRAP|" -e "s|@ENVOY@|$ENVOY_VERSION|" -e "s|@VERSION@|$VERSION|" \
		-e "s|@SERVERS@|$(jq -cn --arg s "$BOOKSTORE_SERVERS" '$s | split(",") | map(select(. != ""))')|" \
		"$PROVISION/nomad/agent.hcl" >"$STATE/nomad/agent.hcl"
	cat >"$STATE/nomad/access.hcl" <<-EOF
		server {
		  encrypt = "$(<"$ACCESS/nomad.gossip")"
		}
		consul {
		  token = "$(<"$ACCESS/agent.nomad")"
		}
	EOF
	daemon nomad nomad agent -config="$STATE/nomad/agent.hcl" -config="$STATE/nomad/access.hcl"
fi
wait_for 90 "Nomad" leads "$NOMAD_ADDR"
