#!/usr/bin/env bash
# cloud-init's own check of user data, for the tests of terraform/. The package is unpacked and not installed: installed, it
# would take this machine for one of a cloud that boots for the first time.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

works() { "$1" schema --help >/dev/null 2>&1; }
! works "$BIN/cloud-init" || exit 0
if found=$(type -P cloud-init) && works "$found"; then
	say "  cloud-init: $found"
	ln -sf "$found" "$BIN/cloud-init"
	exit 0
fi

cold
export DEBIAN_FRONTEND=noninteractive
progress "apt-get update" apt-get update -q
progress "what cloud-init needs of Python" apt-get install -y -q --no-install-recommends \
	python3-yaml python3-jsonschema python3-configobj python3-jinja2 python3-oauthlib python3-jsonpatch python3-requests
dir=/opt/bookstore/cloud-init
rm -rf "$dir"
mkdir -p "$dir"
(cd "$dir" && progress "download cloud-init" apt-get download -q cloud-init && dpkg -x cloud-init_*.deb . && rm cloud-init_*.deb)
cat >"$BIN/cloud-init" <<EOF
#!/bin/sh
PYTHONPATH=$dir/usr/lib/python3/dist-packages exec /usr/bin/python3 -m cloudinit.cmd.main "\$@"
EOF
chmod 755 "$BIN/cloud-init"
works "$BIN/cloud-init" || die "the package cloud-init is unpacked in $dir, and '$BIN/cloud-init schema' fails"
