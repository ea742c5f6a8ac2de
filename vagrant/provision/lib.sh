# shellcheck shell=bash
# What every provision script shares: paths, pinned versions, messages. Source it; it is not run.
# shellcheck disable=SC2034 # variables for the scripts that source this
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PROVISION=$ROOT/vagrant/provision
STATE=/var/lib/bookstore   # data, volumes, Consul's and Nomad's state: kept by down, removed by reset
CACHE=/var/cache/bookstore # downloads with their hashes checked
LOGS=/var/log/bookstore
RUN=/run/bookstore # pid files of what these scripts started
BIN=/opt/bookstore/bin

VERSION=0.1.0 # of the images; the jobs' default, which jobs_test.go holds equal
ENVOY_VERSION=1.36.4

# The address that databases, sidecars, Consul and Nomad use: that of BOOKSTORE_INTERFACE where
# several machines form one system, else that of a bridge without ports which 50-network.sh makes,
# so that one machine offers nothing of the shop to its network.
BOOKSTORE_INTERFACE=${BOOKSTORE_INTERFACE:-bookstore0}
BOOKSTORE_ADDRESS=172.31.250.1/24
BOOKSTORE_ROLE=${BOOKSTORE_ROLE:-both}       # server, client or both
BOOKSTORE_SERVERS=${BOOKSTORE_SERVERS:-}     # addresses of the servers, separated by commas
BOOKSTORE_BOOTSTRAP=${BOOKSTORE_BOOTSTRAP:-1} # how many servers form the quorum

export PATH=$BIN:$PATH:/usr/local/go/bin:/usr/sbin:/sbin
export CONSUL_HTTP_ADDR=http://127.0.0.1:8500 NOMAD_ADDR=http://127.0.0.1:4646
export DOCKER_BUILDKIT=0 # the builder that every Docker engine has

say() { printf '%s\n' "$*"; }
stage() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# become_root restarts the calling script through sudo where it needs to.
become_root() {
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null || die "this needs root: run it as root, or install sudo"
		exec sudo --preserve-env=BOOKSTORE_INTERFACE,BOOKSTORE_ROLE,BOOKSTORE_SERVERS,BOOKSTORE_BOOTSTRAP,GOPROXY,CI \
			env "PATH=$PATH" bash "$0" "$@"
	fi
	mkdir -p "$STATE" "$CACHE" "$LOGS" "$RUN" "$BIN"
}

# progress NAME COMMAND… runs a long command with its output in $LOGS/NAME.log and a sign of life every 5 s.
progress() {
	local name=$1 log=$LOGS/${1// /-}.log start=$SECONDS pid
	shift
	printf '  %s …' "$name"
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		if ! timeout 5 tail --pid="$pid" -f /dev/null 2>/dev/null; then
			printf ' %ss' $((SECONDS - start))
		fi
	done
	if wait "$pid"; then
		printf ' done in %ss\n' $((SECONDS - start))
	else
		printf ' failed\n'
		tail -n 25 "$log" >&2
		die "$name failed; the whole output is in $log"
	fi
}

# wait_for SECONDS WHAT COMMAND… polls until the command succeeds.
wait_for() {
	local limit=$1 what=$2 start=$SECONDS
	shift 2
	until "$@" >/dev/null 2>&1; do
		if [ $((SECONDS - start)) -ge "$limit" ]; then
			die "$what was not there after $limit s; see the logs in $LOGS"
		fi
		sleep 0.2
	done
}

# cold notes that this run had to install or build something, so that it is not measured as a warm one.
cold() { touch "$RUN/cold"; }

# alive PIDFILE COMMAND tells whether the process that a pid file names still runs that command.
alive() {
	local pid
	pid=$(cat "$RUN/$1.pid" 2>/dev/null) || return 1
	[ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "${2:-$1}" ]
}

# daemon NAME COMMAND… starts a command that outlives this script, once.
daemon() {
	local name=$1
	shift
	alive "$name" && return 0
	setsid nohup "$@" >>"$LOGS/$name.log" 2>&1 </dev/null &
	echo $! >"$RUN/$name.pid"
}

# node_address prints the IPv4 address of the interface that this machine's part of the shop uses.
node_address() {
	ip -4 -o addr show dev "$BOOKSTORE_INTERFACE" 2>/dev/null | awk '{sub("/.*", "", $4); print $4; exit}'
}

consul_up() { curl -fsS "$CONSUL_HTTP_ADDR/v1/status/leader" | grep -q :; }
nomad_up() { curl -fsS "$NOMAD_ADDR/v1/nodes" | jq -e 'any(.Status == "ready")'; }

# image_inputs NAME prints the hash that an image was built from, or nothing.
image_inputs() { docker image inspect -f '{{index .Config.Labels "bookstore.inputs"}}' "bookstore/$1:$VERSION" 2>/dev/null || true; }
image_version() { printf '%s-%s' "$VERSION" "$(image_inputs "$1")"; }

# build_tool NAME PACKAGE FLAGS… builds a program into $BIN from its own module here; go.mod and go.sum are its inputs.
build_tool() {
	local name=$1 package=$2 inputs
	shift 2
	inputs=$(cat "$PROVISION/$name/go.mod" "$PROVISION/$name/go.sum" | sha256sum | cut -c1-16)
	if [ -x "$BIN/$name" ] && [ "$(cat "$BIN/.$name.inputs" 2>/dev/null)" = "$inputs" ]; then
		return 0
	fi
	cold
	progress "build $name (some minutes)" go -C "$PROVISION/$name" build -trimpath "$@" -ldflags '-s -w' -o "$BIN/$name" "$package"
	echo "$inputs" >"$BIN/.$name.inputs"
}
