#!/usr/bin/env bash
# Consul: service discovery, the mesh's CA and configuration, Patroni's consensus store.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

umask 077
config=$STATE/consul
mkdir -p "$config"

# A shop from before there were tokens goes on serving while its jobs get theirs: until '60-consul.sh --lock' it is
# still open, as it was.
transition=$config/transition.hcl
if alive consul && [ ! -e "$config/access.hcl" ]; then
	say "  this shop was open: its jobs get their tokens now, one instance after the other"
	cat >"$transition" <<-EOF
		ports {
		  http = 8500
		}
		acl {
		  default_policy = "allow"
		  tokens {
		    agent = "$(<"$ACCESS/operator.consul")" # the agents' own is not made yet
		  }
		}
	EOF
elif [ "${1:-}" = --lock ] && [ -e "$transition" ]; then
	say "  every job has its tokens: nobody gets in without one from now on"
	terminate consul
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
		acl {
		  tokens {
		    initial_management = "$(<"$ACCESS/operator.consul")"
		    agent              = "$(<"$ACCESS/agent.consul")"
		  }
		}
	EOF
}
changed=
if agent | replaced "$config/agent.hcl"; then changed=1; fi
if access | replaced "$config/access.hcl"; then changed=1; fi
[ -z "$changed" ] || terminate consul # the jobs run on meanwhile

files=("$config/agent.hcl" "$config/access.hcl")
[ ! -e "$transition" ] || files+=("$transition")
daemon consul consul agent "${files[@]/#/-config-file=}"
# A leader that has just started knows its tokens a moment later.
known() { CONSUL_CACERT=$ACCESS/ca.pem CONSUL_HTTP_TOKEN=$(<"$ACCESS/operator.consul") consul acl token read -self; }
wait_for 60 "Consul" known
# Nomad looks at once what its agent of Consul offers now.
if [ -n "$changed" ] && alive nomad; then kill -HUP "$(cat "$RUN/nomad.pid")"; fi
