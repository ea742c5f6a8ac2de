#!/usr/bin/env bash
# The interface that the shop's parts talk over: a given one, or a bridge of its own on a single machine.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

if [ "$BOOKSTORE_INTERFACE" = bookstore0 ] && ! ip link show bookstore0 >/dev/null 2>&1; then
	ip link add bookstore0 type bridge
	ip addr add "$BOOKSTORE_ADDRESS" dev bookstore0
	ip link set bookstore0 up
fi
[ -n "$(node_address)" ] || die "the interface $BOOKSTORE_INTERFACE has no IPv4 address: set BOOKSTORE_INTERFACE to one that has ('ip -4 addr' lists them)"
modprobe br_netfilter 2>/dev/null || true # not there as a module where the kernel has it built in
sysctl -q -w net.ipv4.ip_forward=1

# The door bounds its connections in all. How many of them come from one address is bounded here, so that one address
# cannot take them all; on 8080, where a developer's tests come from 127.0.0.1, there may be more.
iptables -N BOOKSTORE-DOOR 2>/dev/null || iptables -F BOOKSTORE-DOOR
for door in 8443:256 8080:4096 8081:64; do
	iptables -A BOOKSTORE-DOOR -p tcp --syn -m conntrack --ctorigdstport "${door%:*}" -m connlimit --connlimit-above "${door#*:}" \
		-j REJECT --reject-with tcp-reset
done
for chain in OUTPUT FORWARD; do # what comes from this machine, and from others
	jump=(-p tcp --syn -m multiport --dports "8080:8081,8443" -j BOOKSTORE-DOOR)
	iptables -C "$chain" "${jump[@]}" 2>/dev/null || iptables -I "$chain" "${jump[@]}"
done

# Consul's agent gives a certificate that it has made before, with the key, to whoever asks, whatever the token (seen in
# 1.22.7). So only those users of this machine get to it that have to: root, the members of the database, the nodes of the
# cache, Prometheus; and to its gRPC, root alone.
iptables -N BOOKSTORE-CONSUL 2>/dev/null || iptables -F BOOKSTORE-CONSUL
iptables -A BOOKSTORE-CONSUL -m owner --uid-owner 0 -j RETURN
for uid in 10001 10002 10004; do
	iptables -A BOOKSTORE-CONSUL -p tcp --dport 8501 -m owner --uid-owner "$uid" -j RETURN
done
iptables -A BOOKSTORE-CONSUL -p tcp -j REJECT --reject-with tcp-reset
jump=(-o lo -p tcp --syn -m multiport --dports 8501:8503 -j BOOKSTORE-CONSUL)
iptables -C OUTPUT "${jump[@]}" 2>/dev/null || iptables -I OUTPUT "${jump[@]}"
