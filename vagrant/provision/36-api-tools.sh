#!/usr/bin/env bash
# What tries the API from its document, pinned with its hashes, each in a folder or module of its own: newman from npm,
# schemathesis and the generator of Python clients from PyPI, the generator of Go clients from its Go module.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

TOOLS=/opt/bookstore/api

# needed PACKAGE COMMAND… installs a distribution package where the command does not work, which then has to.
needed() {
	local package=$1
	shift
	"$@" >/dev/null 2>&1 && return 0
	export DEBIAN_FRONTEND=noninteractive
	progress "apt-get update" apt-get update -q
	progress "install $package" apt-get install -y -q --no-install-recommends "$package"
	"$@" >/dev/null 2>&1 || die "the package $package is installed, and '$*' still fails: remove what comes before it on the PATH, or use a newer system"
}

# fresh NAME STAMP tells whether a folder holds what the stamp asks for.
fresh() { [ "$(cat "$TOOLS/$1/.inputs" 2>/dev/null)" = "$2" ]; }

pinned=$(sha256sum <"$PROVISION/newman/package-lock.json")
if ! fresh newman "$pinned"; then
	cold
	needed npm bash -c 'node -e "process.exit(parseInt(process.versions.node) < 16 ? 1 : 0)" && npm --version'
	rm -rf "$TOOLS/newman"
	mkdir -p "$TOOLS/newman"
	cp "$PROVISION/newman/"*.json "$TOOLS/newman/"
	progress "newman" npm ci --prefix "$TOOLS/newman" --no-audit --no-fund --ignore-scripts
	ln -sf "$TOOLS/newman/node_modules/.bin/newman" "$BIN/newman"
	echo "$pinned" >"$TOOLS/newman/.inputs"
fi

# pypi NAME installs what provision/NAME/requirements.txt asks for, with its program NAME.
pypi() {
	local name=$1 requirements=$PROVISION/$1/requirements.txt pinned
	pinned=$(sha256sum <"$requirements")
	fresh "$name" "$pinned" && return 0
	cold
	needed python3-venv python3 -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 10))'
	rm -rf "${TOOLS:?}/$name"
	progress "a Python for $name" python3 -m venv "$TOOLS/$name"
	progress "$name" "$TOOLS/$name/bin/pip" install --disable-pip-version-check --no-deps --require-hashes --only-binary=:all: -r "$requirements"
	ln -sf "$TOOLS/$name/bin/$name" "$BIN/$name"
	echo "$pinned" >"$TOOLS/$name/.inputs"
}

pypi schemathesis
pypi openapi-python-client
build_tool oapi-codegen github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen
