#!/usr/bin/env bash
# Distribution packages: Docker engine, CNI plugins, PostgreSQL and Redis for tests, a C compiler, small tools.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

packages=(
	docker.io containernetworking-plugins iproute2 iptables procps
	postgresql pgbackrest redis-server redis-tools
	gcc g++ libc6-dev mmdebstrap debian-archive-keyring
	ca-certificates curl jq openssl python3 python3-pip unzip shellcheck wrk
)
missing=()
for package in "${packages[@]}"; do
	dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
done
if [ "${#missing[@]}" = 0 ]; then
	exit 0
fi

cold
# The distribution's own database services stay off: no cluster is made, nothing is started while installing.
mkdir -p /etc/postgresql-common
if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
	echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
fi
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
	trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
progress "apt-get update" apt-get update -q
progress "install ${#missing[@]} packages" apt-get install -y -q --no-install-recommends "${missing[@]}"
if [ -d /run/systemd/system ]; then
	systemctl disable --now redis-server postgresql >/dev/null 2>&1 || true
fi
