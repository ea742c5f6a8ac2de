#!/usr/bin/env bash
# Validates the lab's Vagrantfile with Vagrant itself, for each provider; nothing is started. Where Vagrant can use none of
# them, all but the providers' own settings are validated.
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

# A provider that is there may have no hypervisor or engine to speak to.
validated=
for provider in libvirt docker; do
	if [ "$provider" = libvirt ] && ! timeout 60 vagrant plugin list 2>/dev/null | grep -q '^vagrant-libvirt '; then
		say "  not validated for libvirt: $found has no plugin vagrant-libvirt (install the package vagrant-libvirt, or run: vagrant plugin install vagrant-libvirt)"
	elif said=$(VAGRANT_DEFAULT_PROVIDER=$provider vagrant validate 2>&1); then
		say "$provider: $said"
		validated=1
	elif grep -qi "usable.*provider\|provider.*usable\|isn't usable on this system" <<<"$said"; then
		say "  not validated for $provider: it cannot be used here"
	else
		die "$said"
	fi
done
[ -z "$validated" ] || exit 0
timeout 60 vagrant validate --help 2>&1 | grep -q -- --ignore-provider ||
	die "$found is too old to validate without a provider: install Vagrant 2.2 or newer, or what one of the providers needs"
vagrant validate --ignore-provider
