#!/usr/bin/env bash
# Nomad and Consul: from the PATH where a supported version is there, else built from their pinned Go modules.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

# supported NAME PATTERN links the program on the PATH into $BIN when its version matches.
supported() {
	local found
	found=$(type -aP "$1" | grep -Fvx "$BIN/$1" | head -n 1)
	[[ -n "$found" && "$("$found" version | head -n 1)" =~ $2 ]] || return 1
	ln -sf "$found" "$BIN/$1"
}

supported nomad '^Nomad v1\.1[01]\.' || build_tool nomad github.com/hashicorp/nomad -tags 'ui release'
supported consul '^Consul v1\.2[12]\.' || build_tool consul github.com/hashicorp/consul
