#!/usr/bin/env bash
# Stops what the scripts started, in an order that leaves nothing behind: Nomad, Consul, networks, the Docker engine if
# it was started here. Data and Consul's and Nomad's state stay. With --reset those go too. The jobs have to be stopped
# before, or Nomad leaves containers and mounts behind: 'go tool shop down' does both.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

exec 9>"$RUN/provision.lock"
flock -n 9 || die "another run of these scripts is under way on this machine: wait for it to end"

# forget_rules drops the firewall chains that an ended program leaves; others' rules stay as they are.
forget_rules() {
	local tables
	for tables in iptables ip6tables; do
		# Not 'grep -q', which ends at the first line: the signal that iptables-save gets then would count as a failure.
		"$tables-save" | grep -Ec "$1" >/dev/null || continue
		"$tables-save" | grep -Ev "$1" | "$tables-restore"
	done
}

stage "stopping Nomad and Consul"
terminate nomad
terminate consul
if [ -d /run/systemd/system ]; then # or they would be back after a boot
	for unit in /etc/systemd/system/bookstore-*.service; do
		[ ! -e "$unit" ] || { systemctl -q disable "$(basename "$unit")" && rm "$unit"; }
	done
	systemctl daemon-reload
fi
awk -v state="$STATE/" 'index($2, state) == 1 {print $2}' /proc/mounts | sort -r | xargs -r umount
for link in nomad bookstore0; do
	if ip link show "$link" >/dev/null 2>&1; then ip link delete "$link"; fi
done
forget_rules '(CNI-|NOMAD-|BOOKSTORE-)'
if alive dockerd && [ -n "$(docker ps --quiet)" ]; then
	say "  the Docker engine stays: containers of others run on it, such as the lab's"
elif alive dockerd; then
	stage "stopping the Docker engine"
	terminate dockerd
	if ip link show docker0 >/dev/null 2>&1; then ip link delete docker0; fi
	forget_rules 'DOCKER'
fi
if [ "${1:-}" = --reset ]; then
	stage "removing data and state"
	rm -rf "$STATE" "$LOGS" /etc/bookstore
fi
say "  down"
