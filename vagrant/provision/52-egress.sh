#!/usr/bin/env bash
# The way out of the shop's containers: each reaches what it works with, and nothing else of this machine or of its
# networks. What is refused is counted: 'iptables -nvxL BOOKSTORE-WAY-OUT'.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

dynamic=20000:32000 # the ports that Nomad gives out: members, nodes, sidecars
bus=32100:32199     # of the nodes of the cache, who ask nobody there for more than a certificate of the mesh
store=9440          # the shop's own store of backups
users=10001-10007   # of the images whose tasks may be on the host's network
acme=10006          # of the ACME client, which also asks the ingresses on 8081
alertmanager=10007  # of Alertmanager, which tells people
peers=$(node_address)
if [ "$BOOKSTORE_INTERFACE" != bookstore0 ]; then # several machines: their own network
	peers=$(ip -4 -o addr show dev "$BOOKSTORE_INTERFACE" | awk '{print $4; exit}')
fi

# opened VARIABLE CHAIN MATCH… prints the rules of a variable: addresses or networks with a port or none, separated by commas.
opened() {
	local name=$1 chain=$2 destination port protocol
	shift 2
	for destination in ${!name//,/ }; do
		[[ "$destination" =~ ^([0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9]{1,2})?)(:([0-9]{1,5}))?$ ]] ||
			die "$name: '$destination' is not an IPv4 address or network, with :port or without"
		destination=${BASH_REMATCH[1]} port=${BASH_REMATCH[5]}
		for protocol in tcp udp; do
			echo "-A $chain -d $destination -p $protocol ${port:+--dport $port} $* -j RETURN"
		done
	done
}
rules=$(opened BOOKSTORE_EGRESS BOOKSTORE-WAY-OUT)
acme_rules=$(opened BOOKSTORE_ACME_EGRESS BOOKSTORE-HOST-JOBS -m owner --uid-owner "$acme")
alert_rules=$(opened BOOKSTORE_ALERT_EGRESS BOOKSTORE-HOST-JOBS -m owner --uid-owner "$alertmanager")

# Where a connection goes is what its process asked for (ctorigdst), whatever Nomad's port mapping makes of it: a sidecar is
# reached at the machine's address, and no allocation at its own.
iptables-restore --wait --noflush <<EOF
*filter
:BOOKSTORE-WAY-OUT - [0:0]
:BOOKSTORE-HOST-JOBS - [0:0]
-A BOOKSTORE-WAY-OUT -p tcp -m conntrack --ctorigdst $peers --ctorigdstport $dynamic -j RETURN
-A BOOKSTORE-WAY-OUT -p tcp -m conntrack --ctorigdst $peers --ctorigdstport $store -j RETURN
$rules
-A BOOKSTORE-WAY-OUT -p tcp -j REJECT --reject-with tcp-reset
-A BOOKSTORE-WAY-OUT -j REJECT --reject-with icmp-admin-prohibited
-A BOOKSTORE-HOST-JOBS -d 127.0.0.1 -p tcp --dport 8501 -j RETURN
-A BOOKSTORE-HOST-JOBS -d 127.0.0.1 -p tcp -m multiport --dports 4646,9090,9093 -m owner --uid-owner 10004 -j RETURN
-A BOOKSTORE-HOST-JOBS -d $(node_address) -p tcp --dport 9090 -m owner --uid-owner 10004 -j RETURN
-A BOOKSTORE-HOST-JOBS -p tcp -m conntrack --ctorigdst 127.0.0.1 --ctorigdstport $dynamic -m owner --uid-owner 10004 -j RETURN
-A BOOKSTORE-HOST-JOBS -p tcp -m conntrack --ctorigdst $peers --ctorigdstport $bus -m owner --uid-owner 10002 -j RETURN
-A BOOKSTORE-HOST-JOBS -p tcp -m conntrack --ctorigdst 127.0.0.1 --ctorigdstport 8081 -m owner --uid-owner $acme -j RETURN
-A BOOKSTORE-HOST-JOBS -p tcp -m conntrack --ctorigdst $peers --ctorigdstport 8081 -m owner --uid-owner $acme -j RETURN
$acme_rules
$alert_rules
-A BOOKSTORE-HOST-JOBS -g BOOKSTORE-WAY-OUT
COMMIT
EOF

# first TABLES CHAIN RULE… has a rule at the head of a chain, which may not be there yet.
first() {
	local tables=$1 chain=$2
	shift 2
	"$tables" --wait -N "$chain" 2>/dev/null || true
	"$tables" --wait -C "$chain" "$@" 2>/dev/null || "$tables" --wait -I "$chain" "$@"
}
begins=(-m conntrack ! --ctstate "ESTABLISHED,RELATED")
first iptables INPUT -i nomad "${begins[@]}" -j BOOKSTORE-WAY-OUT
# What is forwarded passes Nomad's chain of that name before CNI accepts it.
first iptables NOMAD-ADMIN -i nomad "${begins[@]}" -j BOOKSTORE-WAY-OUT
first iptables OUTPUT -m owner --uid-owner "$users" "${begins[@]}" -j BOOKSTORE-HOST-JOBS

# Nothing of the shop speaks IPv6.
if [ -e /proc/net/if_inet6 ]; then
	first ip6tables BOOKSTORE-WAY-OUT -j REJECT
	first ip6tables INPUT -i nomad -j BOOKSTORE-WAY-OUT
	first ip6tables FORWARD -i nomad -j BOOKSTORE-WAY-OUT
	first ip6tables OUTPUT -m owner --uid-owner "$users" -j BOOKSTORE-WAY-OUT
fi
