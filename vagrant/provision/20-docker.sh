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
	daemon dockerd dockerd
fi
wait_for 60 "the Docker engine" docker info
say "  Docker engine $(docker version -f '{{.Server.Version}}') is running"
