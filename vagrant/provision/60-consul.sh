#!/usr/bin/env bash
# Consul: service discovery, the mesh's CA and configuration, Patroni's consensus store.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

if ! alive consul; then
	mkdir -p "$STATE/consul"
	sed -e "s|@ADDRESS@|$(node_address)|" -e "s|@STATE@|$STATE|" \
		-e "s|@SERVER@|$([ "$BOOKSTORE_ROLE" = client ] && echo false || echo true)|" \
		-e "s|@BOOTSTRAP@|$BOOKSTORE_BOOTSTRAP|" \
		-e "s|@SERVERS@|$(jq -cn --arg s "$BOOKSTORE_SERVERS" '$s | split(",") | map(select(. != ""))')|" \
		"$PROVISION/consul/agent.hcl" >"$STATE/consul/agent.hcl"
	if [ "$BOOKSTORE_ROLE" = client ]; then
		sed -i '/^bootstrap_expect/d' "$STATE/consul/agent.hcl"
	fi
	daemon consul consul agent -config-file="$STATE/consul/agent.hcl"
fi
wait_for 60 "Consul" consul_up
