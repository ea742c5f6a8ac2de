#!/usr/bin/env bash
# A running Docker engine: the one there is, the init system's, or dockerd started here.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

if docker info >/dev/null 2>&1; then
	exit 0
fi
if [ -d /run/systemd/system ]; then
	systemctl enable --now docker
else
	rm -f /var/run/docker.pid
	# All containers are one group, which weighs as much as a single thread outside it: whenever Nomad,
	# Consul and the engine start something, the shop would wait. Here it weighs as much as eight.
	if [ -d /sys/fs/cgroup/cpu ]; then # cgroup v1; the v2 of a machine without systemd was not tried
		mkdir -p /sys/fs/cgroup/cpu/docker
		echo 8192 >/sys/fs/cgroup/cpu/docker/cpu.shares
	fi
	daemon dockerd dockerd
fi
wait_for 60 "the Docker engine" docker info
say "  Docker engine $(docker version -f '{{.Server.Version}}') is running"
