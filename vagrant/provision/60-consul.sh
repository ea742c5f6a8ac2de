#!/usr/bin/env bash
# Consul: service discovery, the mesh's CA and configuration, Patroni's consensus store. With --settings the agent's
# settings are written and it runs on: it was told by its API ('shop rotate').
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

umask 077
config=$STATE/consul
mkdir -p "$config"

# A shop from before there were tokens goes on serving while its jobs get theirs: until '60-consul.sh --lock' it is
# still open, as it was, and the agent acts without a token.
transition=$config/transition.hcl
if alive consul && [ ! -e "$config/access.hcl" ]; then
	say "  this shop was open: its jobs get their tokens now, one instance after the other"
	cat >"$transition" <<-EOF
		ports {
		  http = 8500
		}
		acl {
		  default_policy = "allow"
		}
	EOF
elif [ "${1:-}" = --lock ] && [ -e "$transition" ]; then
	say "  every job has its tokens: nobody gets in without one from now on"
	rm "$transition"
fi

agent() {
	sed -e "s|@ADDRESS@|$(node_address)|" -e "s|@STATE@|$STATE|" -e "s|@ACCESS@|$ACCESS|" \
		-e "s|@SERVER@|$([ "$BOOKSTORE_ROLE" = client ] && echo false || echo true)|" \
		-e "s|@BOOTSTRAP@|$BOOKSTORE_BOOTSTRAP|" \
		-e "s|@SERVERS@|$(jq -cn --arg s "$BOOKSTORE_SERVERS" '$s | split(",") | map(select(. != ""))')|" \
		"$PROVISION/consul/agent.hcl" | if [ "$BOOKSTORE_ROLE" = client ]; then sed '/^bootstrap_expect/d'; else cat; fi
}
access() {
	cat <<-EOF
		encrypt = "$(<"$ACCESS/consul.gossip")"
	EOF
	[ -e "$transition" ] || cat <<-EOF
		acl {
		  tokens {
		    agent = "$(<"$ACCESS/agent.consul")"
		  }
		}
	EOF
}
agent >"$config/agent.hcl.new"
access >"$config/access.hcl.new"
if [ "${1:-}" = --settings ]; then
	take "$config/agent.hcl" "$config/access.hcl"
	exit
fi
ended=
if settle consul "$config/agent.hcl" "$config/access.hcl"; then ended=1; fi

files=("$config/agent.hcl" "$config/access.hcl")
[ ! -e "$transition" ] || files+=("$transition")
daemon consul consul agent "${files[@]/#/-config-file=}"

# with TOKEN COMMAND… runs it with one of the tokens in $ACCESS.
with() { CONSUL_CACERT=$ACCESS/ca.pem CONSUL_HTTP_TOKEN=$(<"$ACCESS/$1") "${@:2}"; }
known() { with "$1" consul acl token read -self >/dev/null 2>&1; }

# Consul takes the operator's token as its first, once. A leader that has just started knows its tokens a moment later.
led() { known operator.consul || with operator.consul consul acl bootstrap "$ACCESS/operator.consul"; }
# The agents' own tokens are there before Nomad starts. The policies are those of 'go tool shop up' (jobs/acl). Several
# servers do this at once: what another has made meanwhile is known at the next look.
agents_known() {
	local name
	for name in consul nomad; do
		! known "agent.$name" || continue
		[ -s "$ACCESS/operator.consul" ] || return 1
		with operator.consul consul acl policy read -name "agent-$name" >/dev/null 2>&1 ||
			with operator.consul consul acl policy create -name "agent-$name" -rules "@$ROOT/jobs/acl/agents/$name.hcl" >/dev/null || return 1
		jq -n --rawfile secret "$ACCESS/agent.$name" --arg name "$name" \
			'{SecretID: $secret | rtrimstr("\n"), Description: "the agents of \($name)", Policies: [{Name: "agent-\($name)"}]}' |
			curl -fsS --cacert "$ACCESS/ca.pem" -H @<(printf 'X-Consul-Token: %s' "$(<"$ACCESS/operator.consul")") \
				-X PUT --data-binary @- "$CONSUL_HTTP_ADDR/v1/acl/token" >/dev/null || return 1
	done
}
[ ! -s "$ACCESS/operator.consul" ] || wait_for "$PATIENCE" "Consul" led
wait_for "$PATIENCE" "the agents' tokens at Consul" agents_known
# Nomad looks at once what its agent of Consul offers now.
if [ -n "$ended" ] && alive nomad; then kill -HUP "$(cat "$RUN/nomad.pid")"; fi
