#!/usr/bin/env bash
# What tries the API from its document: newman from npm and schemathesis from PyPI, pinned, each in a folder of its own.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

NEWMAN_VERSION=6.2.2
REQUIREMENTS=$PROVISION/schemathesis/requirements.txt
TOOLS=/opt/bookstore/api

# needed PACKAGE COMMAND… installs a distribution package where the command does not work.
needed() {
	local package=$1
	shift
	"$@" >/dev/null 2>&1 && return 0
	export DEBIAN_FRONTEND=noninteractive
	progress "apt-get update" apt-get update -q
	progress "install $package" apt-get install -y -q --no-install-recommends "$package"
}

# fresh NAME STAMP tells whether a folder holds what the stamp asks for.
fresh() { [ "$(cat "$TOOLS/$1/.inputs" 2>/dev/null)" = "$2" ]; }

if ! fresh newman "$NEWMAN_VERSION"; then
	cold
	needed npm npm --version
	rm -rf "$TOOLS/newman"
	mkdir -p "$TOOLS/newman"
	progress "newman" npm install --prefix "$TOOLS/newman" --no-save --no-package-lock --no-audit --no-fund --ignore-scripts "newman@$NEWMAN_VERSION"
	ln -sf "$TOOLS/newman/node_modules/.bin/newman" "$BIN/newman"
	echo "$NEWMAN_VERSION" >"$TOOLS/newman/.inputs"
fi

pinned=$(sha256sum <"$REQUIREMENTS")
if ! fresh schemathesis "$pinned"; then
	cold
	needed python3-venv python3 -c 'import ensurepip'
	rm -rf "$TOOLS/schemathesis"
	progress "a Python of its own" python3 -m venv "$TOOLS/schemathesis"
	progress "schemathesis" "$TOOLS/schemathesis/bin/pip" install --disable-pip-version-check --no-deps --only-binary=:all: -r "$REQUIREMENTS"
	ln -sf "$TOOLS/schemathesis/bin/schemathesis" "$BIN/schemathesis"
	echo "$pinned" >"$TOOLS/schemathesis/.inputs"
fi
