#!/usr/bin/env bash
# Validates the lab's Vagrantfile with Vagrant itself; nothing is started. Where Vagrant has no provider for it, all but the
# provider's own settings are.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

cd "$ROOT/vagrant"
if ! command -v vagrant >/dev/null; then
	[ "$(id -u)" = 0 ] || die "vagrant is missing, which is needed to validate the lab: install the packages vagrant and vagrant-libvirt"
	export DEBIAN_FRONTEND=noninteractive
	progress "install Vagrant" apt-get install -y -q --no-install-recommends vagrant vagrant-libvirt
fi
found=$(type -P vagrant)
timeout 60 vagrant --version >/dev/null 2>&1 || die "$found does not run, which is needed to validate the lab: install the package vagrant anew, or remove it"

# A plugin that is there may have no hypervisor to speak to, which no validation needs.
if timeout 60 vagrant plugin list 2>/dev/null | grep -q '^vagrant-libvirt '; then
	if said=$(vagrant validate 2>&1); then
		printf '%s\n' "$said"
		exit 0
	fi
	grep -qi 'usable.*provider\|provider.*usable' <<<"$said" || die "$said"
	why="the provider libvirt cannot be used here"
else
	why="$found has no plugin vagrant-libvirt (install the package vagrant-libvirt, or run: vagrant plugin install vagrant-libvirt)"
fi
timeout 60 vagrant validate --help 2>&1 | grep -q -- --ignore-provider ||
	die "$found is too old to validate without a provider, and $why: install Vagrant 2.2 or newer, or the plugin"
vagrant validate --ignore-provider
say "  the settings of the provider were not validated: $why"
