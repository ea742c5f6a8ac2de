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
