#!/usr/bin/env bash
# 05-tools.sh [--installed]: looks, in a second, whether the tools on the PATH have what is needed of them. One that is missing
# is no problem while packages are still to be installed; one that is too old is, since a package would not replace it.
# Each problem is one line: which tool, what it is needed for, what to do.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

problems=0

# need TOOL PACKAGE PURPOSE FEATURE COMMAND… tries the very feature; PACKAGE - is what apt cannot install.
need() {
	local tool=$1 package=$2 purpose=$3 feature=$4 path remedy
	shift 4
	timeout 20 bash -c '"$@"' - "$@" >/dev/null 2>&1 </dev/null && return 0
	path=$(type -P "$tool" || true)
	if [ -z "$path" ]; then
		[ "$package" = - ] || [ "$installed" ] || return 0 # it is about to be installed
		remedy="install the package $package"
		[ "$package" != - ] || remedy="install it"
		printf 'error: %s is missing, which is needed for %s: %s\n' "$tool" "$purpose" "$remedy" >&2
	else
		remedy="remove it, so that the package $package takes its place, or put a newer one before it on the PATH"
		[ "$package" != - ] || remedy="install a newer one"
		printf 'error: %s has no %s, which is needed for %s: %s\n' "$path" "$feature" "$purpose" "$remedy" >&2
	fi
	problems=$((problems + 1))
}

# version TOOL MINIMUM COMMAND… compares the first number with a dot that the command says.
version() {
	local minimum=$1 found
	shift
	found=$("$@" 2>&1 | grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1) || return 1
	[ "$(printf '%s\n' "$minimum" "$found" | sort -V | head -n 1)" = "$minimum" ]
}

# postgres is found where the tests look: on the PATH, else where Debian puts it.
postgres() {
	local bin
	bin=$(type -P initdb || printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
	[ -x "$bin" ] && version 14 "$bin" --version
}

export -f version postgres
installed=${1:-}

need go - "everything" "version 1.26 or newer" version 1.26 go version
need git git "the lists of files that are checked" "version 2 or newer" version 2.0 git --version
need g++ g++ "DuckDB, which is linked with C++" "C++17" bash -c 'echo "int main() {}" | g++ -std=c++17 -x c++ -fsyntax-only -'
need curl curl "downloads and checks" "--fail-with-body" curl --fail-with-body --version
need jq jq "the scripts" "@uri and first(…)" jq -ne '[1] | first(.[]) | @uri "\(.)" == "1"'
need openssl openssl "passwords and certificates" "rand" openssl rand -hex 4
need unzip unzip "downloads" "working program" unzip -v
need shellcheck shellcheck "test:lint" "option --external-sources" bash -c 'echo "#!/bin/bash" | shellcheck --external-sources -'
need python3 python3 "Envoy's image and the tools that try the API" "version 3.10 or newer" python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))'
need initdb postgresql "the tests that start a PostgreSQL" "version 14 or newer" postgres
need redis-server redis-server "the tests that start a Redis" "version 7 or newer" version 7.0 redis-server --version
need redis-cli redis-tools "the tests that start a Redis" "--cluster" version 7.0 redis-cli --version
need pgbackrest pgbackrest "the tests of backups" "version 2.40 or newer" version 2.40 pgbackrest version
need terraform - "test:terraform" "version 1.11 or newer" version 1.11 env TF_CLI_CONFIG_FILE=/dev/null CHECKPOINT_DISABLE=1 terraform version
need docker docker.io "the images" "version 20.10 or newer" version 20.10 docker --version
[ -z "$(type -P node)" ] || need node nodejs "newman, which walks the API's collection" "version 16 or newer" version 16 node --version

# A git that works refuses a checkout of another user, and a copy that is none. It says so best itself.
if [ "$problems" = 0 ] && [ "$(type -P git)" ] && ! said=$(git -C "$ROOT" ls-files --error-unmatch go.mod 2>&1); then
	printf 'error: git does not list the files of %s, which is needed to check them: %s\n' "$ROOT" "${said%%$'\n'*}" >&2
	exit 1
fi
[ "$problems" = 0 ]
