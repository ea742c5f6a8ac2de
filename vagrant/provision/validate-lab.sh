#!/usr/bin/env bash
# Validates the lab's Vagrantfile with Vagrant itself; nothing is started.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

cd "$ROOT/vagrant"
if ! command -v vagrant >/dev/null; then
	[ "$(id -u)" = 0 ] || die "vagrant is missing: install the packages vagrant and vagrant-libvirt"
	export DEBIAN_FRONTEND=noninteractive
	progress "install Vagrant" apt-get install -y -q --no-install-recommends vagrant vagrant-libvirt
fi
vagrant validate
