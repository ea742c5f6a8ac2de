#!/usr/bin/env bash
# What must be so before anything is installed; each problem is one line that says what to do.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

problems=0
problem() {
	printf 'error: %s\n' "$*" >&2
	problems=$((problems + 1))
}

# Debian and Ubuntu name their packages alike; nothing else has been tried.
. /etc/os-release
case "$ID ${ID_LIKE:-}" in
*debian*) ;;
*) problem "this system is $ID; the scripts install packages with apt: use Debian 12 or newer, or Ubuntu 22.04 or newer" ;;
esac
[ "$(uname -m)" = x86_64 ] || problem "this machine is $(uname -m); the pinned Envoy is for x86_64"
[ -n "$BOOKSTORE_GIVEN" ] || command -v go >/dev/null || problem "go is not on the PATH: install Go 1.26 or newer from https://go.dev/dl"
disk=6000 memory=7000 part="the shop"
if [ -n "$BOOKSTORE_SERVERS" ]; then memory=3500 part="a machine of several"; fi # what they carry is shared
if [ "$BOOKSTORE_ROLE" = server ]; then disk=3000 memory=900 part="a server"; fi
free_mib=$(df --output=avail -m /var | tail -n 1)
[ "$free_mib" -ge "$disk" ] || problem "/var has $free_mib MiB free, images and builds need $disk: make room"
memory_mib=$(awk '/^MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
[ "$memory_mib" -ge "$memory" ] || problem "this machine has $memory_mib MiB of memory, $part needs $memory: take a larger one"

taken() {
	local port=$1 owner=$2
	alive "$owner" && return 1
	command -v ss >/dev/null && [ -n "$(ss -Hltn "sport = :$port")" ]
}
for entry in 8501:consul 8502:consul 4646:nomad 8080:nomad 8443:nomad 9090:nomad; do
	port=${entry%:*}
	if taken "$port" "${entry#*:}"; then
		problem "port $port is taken by another program: 'ss -ltnp sport = :$port' shows which; stop it and run this again"
	fi
done
[ "$problems" = 0 ] || exit 1
