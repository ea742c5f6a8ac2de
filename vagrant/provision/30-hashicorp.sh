#!/usr/bin/env bash
# Nomad and Consul: from the PATH where a supported version is there; else HashiCorp's own build of the pinned
# version, in seconds, where its release site can be reached; else built from the pinned Go modules, in minutes.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

# tool NAME PATTERN FLAGS… provides a program whose version, where it is on the PATH already, matches.
tool() {
	local name=$1 pattern=$2
	shift 2
	supported "$name" "$pattern" || have_tool "$name" || download_tool "$name" || build_tool "$name" "github.com/hashicorp/$name" "$@"
}

# A Nomad without known holes is taken from anywhere on the PATH before one with them.
supported nomad "$NOMAD_MENDED" || tool nomad "$NOMAD_SUPPORTED" -tags 'ui release'
known_holes "$(nomad version 2>/dev/null | head -n 1)"
tool consul "$CONSUL_SUPPORTED"
