# shellcheck shell=bash
# What every provision script shares: paths, pinned versions, messages. Source it; it is not run.
# shellcheck disable=SC2034 # variables for the scripts that source this
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
PROVISION=$ROOT/vagrant/provision
STATE=/var/lib/bookstore   # data, volumes, Consul's and Nomad's state: kept by down, removed by reset
CACHE=/var/cache/bookstore # downloads with their hashes checked
LOGS=/var/log/bookstore
ACCESS=$STATE/access # keys and tokens, for root alone
RUN=/run/bookstore # pid files of what these scripts started
BIN=/opt/bookstore/bin
HASHICORP_RELEASES=${HASHICORP_RELEASES:-https://releases.hashicorp.com}

VERSION=0.1.0 # of the images; the jobs' default, which jobs_test.go holds equal
ENVOY_VERSION=1.39.3

# What 'version' prints of programs that the scripts and jobs are written for. Those from the PATH may be newer than the
# pinned ones, which are the newest that can be built from Go modules.
NOMAD_SUPPORTED='^Nomad v(1\.1[01]|2\.[0-9]+)\.'
NOMAD_MENDED='^Nomad v(2\.(0\.([4-9]|[1-9][0-9]+)|[1-9][0-9]*\.[0-9]+)|1\.11\.([89]|[1-9][0-9]+)\+ent)'
CONSUL_SUPPORTED='^Consul v(1\.2[12]|2\.[0-9]+)\.'

# What provision.sh was told last: the other scripts go by it, and the machine when it boots. The environment comes first.
SETTINGS=/etc/bookstore/machine.env
settings=(BOOKSTORE_INTERFACE BOOKSTORE_ROLE BOOKSTORE_SERVERS BOOKSTORE_BOOTSTRAP BOOKSTORE_MEMORY BOOKSTORE_CPU
	BOOKSTORE_S3 BOOKSTORE_EGRESS BOOKSTORE_ACME_EGRESS BOOKSTORE_ALERT_EGRESS BOOKSTORE_GIVEN)
if [ -r "$SETTINGS" ]; then
	while IFS='=' read -r key value; do
		[[ " ${settings[*]} " != *" $key "* ]] || [ -n "${!key+told}" ] || printf -v "$key" %s "$value"
	done <"$SETTINGS"
fi

# The address that databases, sidecars, Consul and Nomad use: that of BOOKSTORE_INTERFACE where
# several machines form one system, else that of a bridge without ports which 50-network.sh makes,
# so that one machine offers nothing of the shop to its network.
BOOKSTORE_INTERFACE=${BOOKSTORE_INTERFACE:-bookstore0}
BOOKSTORE_ADDRESS=172.31.250.1/24
BOOKSTORE_ROLE=${BOOKSTORE_ROLE:-both}       # server, client or both
BOOKSTORE_SERVERS=${BOOKSTORE_SERVERS:-}     # addresses of the servers, separated by commas
BOOKSTORE_BOOTSTRAP=${BOOKSTORE_BOOTSTRAP:-1} # how many servers form the quorum
# How long an agent may take to have a leader, in seconds. One of several waits for others, which may still build their programs.
PATIENCE=90
[ -z "$BOOKSTORE_SERVERS" ] || PATIENCE=600
# What jobs may reserve, in MB and in MHz; 0: all that the machine says it has. A container that is a machine sees its host's.
BOOKSTORE_MEMORY=${BOOKSTORE_MEMORY:-0}
BOOKSTORE_CPU=${BOOKSTORE_CPU:-0}
BOOKSTORE_S3=${BOOKSTORE_S3:-} # the address of the machine that has the job s3: of several the first by name; else its own
# Whether programs and images are there already, so that none is built or installed: a machine of a lab, or of a cloud.
BOOKSTORE_GIVEN=${BOOKSTORE_GIVEN:-}
# What containers may reach besides the shop: IPv4 addresses or networks, each with :port or without, separated by commas.
BOOKSTORE_EGRESS=${BOOKSTORE_EGRESS:-}
# What the ACME client may reach besides, in the same form: the directory, and the name server that its name needs.
BOOKSTORE_ACME_EGRESS=${BOOKSTORE_ACME_EGRESS:-}
# What Alertmanager may reach besides, in the same form: the servers of the webhook and of e-mail, and the name server.
BOOKSTORE_ALERT_EGRESS=${BOOKSTORE_ALERT_EGRESS:-}

# The URL of an archive of Debian's packages of all times, up to what comes before /debian/20260131T000000Z; without one the
# images are made of what the archive has now where it no longer has what is locked.
BOOKSTORE_DEBIAN_SNAPSHOT=${BOOKSTORE_DEBIAN_SNAPSHOT:-}

export PATH=$BIN:$PATH:/usr/local/go/bin:/usr/sbin:/sbin
export CONSUL_HTTP_ADDR=https://127.0.0.1:8501 NOMAD_ADDR=https://127.0.0.1:4646
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
		exec sudo --preserve-env="$(IFS=,; echo "${settings[*]}")",BOOKSTORE_DEBIAN_SNAPSHOT,HASHICORP_RELEASES,GOPROXY,CI \
			env "PATH=$PATH" bash "$0" "$@"
	fi
	mkdir -p "$STATE" "$CACHE" "$LOGS" "$RUN" "$BIN"
	# What is in them is the shop's alone: data, keys, what its parts log.
	chmod 0700 "$STATE" "$LOGS"
}

# progress NAME COMMAND… runs a long command with its output in $LOGS/NAME.log and a sign of life every 5 s,
# or, where stages run beside each other (BESIDE), a line of its own every 30 s.
progress() {
	local name=$1 log=$LOGS/${1// /-}.log start=$SECONDS pid every=5
	shift
	printf '  %s …' "$name"
	[ -z "${BESIDE:-}" ] || { every=30 && printf '\n'; }
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		timeout "$every" tail --pid="$pid" -f /dev/null 2>/dev/null || alive_for "$name" $((SECONDS - start))
	done
	if wait "$pid"; then
		printf '%s done in %ss\n' "${BESIDE:+  $name}" $((SECONDS - start))
	else
		printf '%s failed\n' "${BESIDE:+  $name}"
		tail -n 25 "$log" >&2
		die "$name failed; the whole output is in $log"
	fi
}

alive_for() {
	if [ -n "${BESIDE:-}" ]; then printf '  %s … %ss\n' "$1" "$2"; else printf ' %ss' "$2"; fi
}

# beside NAME COMMAND… starts a command that runs while what follows does, its lines marked with its name;
# beside_end waits for it and fails as it did. The end of the script is its end too.
beside() {
	local name=$1 out
	shift
	exec {out}> >(exec sed -u "s/^ */  [$name] /")
	beside_out=$!
	BESIDE=1 setsid "$@" >&"$out" 2>&1 {out}>&- &
	beside_pid=$!
	exec {out}>&-
	# It may not have a group of its own yet.
	# shellcheck disable=SC2064 # this process, whichever is the last
	trap "kill -- -$beside_pid 2>/dev/null || kill $beside_pid 2>/dev/null || true" EXIT
}

beside_end() {
	local status=0
	wait "$beside_pid" || status=$?
	wait "$beside_out" || true # what it said last
	trap - EXIT
	return "$status"
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

# daemon NAME COMMAND… starts a command that outlives this script, once; systemd, where there is one, starts it after each
# boot, too. It keeps no descriptor of the caller's: a lock that the caller was started under would be held for as long as
# the daemon lives.
daemon() {
	local name=$1
	shift
	if [ -d /run/systemd/system ]; then
		unit "$name" "$@"
		alive "$name" || systemctl start "bookstore-$name"
		return
	fi
	alive "$name" && return 0
	(
		for fd in "/proc/$BASHPID/fd"/*; do
			fd=${fd##*/}
			[ "$fd" -le 2 ] || [ "$fd" = 255 ] || exec {fd}>&- # bash closes its own 255 itself
		done
		umask 022 # what Nomad gives a task is for the task's user; nobody else reaches the folders above it
		# Nomad's templates would heed how an operator reaches the agents.
		unset NOMAD_ADDR NOMAD_TOKEN NOMAD_CACERT CONSUL_HTTP_ADDR CONSUL_HTTP_TOKEN CONSUL_CACERT
		exec setsid nohup "$@" >>"$LOGS/$name.log" 2>&1 </dev/null
	) &
	echo $! >"$RUN/$name.pid"
}

# unit NAME COMMAND… writes a unit of systemd for a daemon. Its tasks run on while it is started anew.
unit() {
	local name=$1 after="docker.service bookstore-network.service" program
	program=$(type -P "$2")
	shift 2
	[ "$name" = consul ] || after+=" bookstore-consul.service"
	install_unit "bookstore-$name.service" <<-EOF
		[Unit]
		Description=$name of the bookstore
		After=$after
		StartLimitIntervalSec=0

		[Service]
		Environment=PATH=$PATH
		ExecStart=$program $*
		ExecStartPost=/bin/sh -c 'mkdir -p $RUN && echo \$MAINPID >$RUN/$name.pid'
		ExecReload=/bin/kill -HUP \$MAINPID
		StandardOutput=append:$LOGS/$name.log
		StandardError=inherit
		KillMode=process
		LimitNOFILE=65536
		Restart=on-failure
		RestartSec=2

		[Install]
		WantedBy=multi-user.target
	EOF
}

# install_unit NAME has systemd know a unit, read from the standard input, and start it at each boot.
install_unit() {
	local file=/etc/systemd/system/$1
	cat >"$file.new"
	if cmp -s "$file.new" "$file"; then
		rm "$file.new"
		return
	fi
	mv "$file.new" "$file"
	chmod 644 "$file"
	systemctl daemon-reload
	systemctl -q enable "$1"
}

# terminate NAME asks a process started here to end and waits for it.
terminate() {
	local pid
	if [ -d /run/systemd/system ] && systemctl -q is-active "bookstore-$1"; then
		systemctl stop "bookstore-$1"
		rm -f "$RUN/$1.pid"
		return
	fi
	alive "$1" || return 0
	pid=$(cat "$RUN/$1.pid")
	kill -TERM "$pid"
	timeout 30 tail --pid="$pid" -f /dev/null || die "$1 (process $pid) did not end in 30 s; its log is $LOGS/$1.log"
	rm -f "$RUN/$1.pid"
}

# settle NAME FILE… has each FILE.new take the place of FILE, the settings of a daemon. Where any differs the daemon is ended
# before, so that the next run completes one that was broken off; it tells whether that was so.
settle() {
	local name=$1 file same=1
	shift
	for file; do cmp -s "$file.new" "$file" || same=; done
	[ -n "$same" ] || terminate "$name"
	take "$@"
	[ -z "$same" ]
}
take() {
	local file
	for file; do mv "$file.new" "$file"; done
}

# node_address prints the IPv4 address of the interface that this machine's part of the shop uses.
node_address() {
	ip -4 -o addr show dev "$BOOKSTORE_INTERFACE" 2>/dev/null | awk '{sub("/.*", "", $4); print $4; exit}'
}

# leads ADDRESS tells whether an agent knows a leader; that it says to everybody.
leads() { curl -fsS --cacert "$ACCESS/ca.pem" "$1/v1/status/leader" | grep -q :; }

# image_label NAME LABEL prints a label of an image, or nothing. The label wanted has the hash of what an image was to be
# built from, which tells whether it is to be built anew; inputs has that of what it was built from.
image_label() { docker image inspect -f "{{index .Config.Labels \"bookstore.$2\"}}" "bookstore/$1:$VERSION" 2>/dev/null || true; }
image_inputs() { image_label "$1" inputs; }

# supported NAME PATTERN links the first program on the PATH whose version matches into $BIN.
supported() {
	local found
	while read -r found; do
		[[ "$found" != "$BIN/$1" && "$("$found" version 2>/dev/null | head -n 1)" =~ $2 ]] || continue
		say "  $1: $found"
		ln -sf "$found" "$BIN/$1"
		rm -f "$BIN/.$1.inputs"
		return 0
	done < <(type -aP "$1")
	return 1
}

# known_holes VERSION says which published holes a Nomad has, and what stands before them here.
known_holes() {
	[[ "$1" =~ $NOMAD_MENDED ]] && return 0
	say "  ${1%% (*} has known holes, which 2.0.4 closes. Each wants a token, and only the operator has one that may do this:"
	say "    CVE-2026-14891, CVE-2026-14373: submit a job that reaches the host from its container"
	[[ "$1" =~ v(1\.11\.[5-7]\+ent|2\.0\.[1-3]) ]] ||
		say "    CVE-2026-7474: create a host volume that runs any program of the host"
	say "  Put an official Nomad 2.0.4 or later on the PATH, and run this again."
}

# The directory NAME here is a module that pins the tool of that name; go.mod and go.sum are its inputs.
tool_inputs() { cat "$PROVISION/$1/go.mod" "$PROVISION/$1/go.sum" | sha256sum | cut -c1-16; }
tool_version() { sed -n "s|.*github.com/hashicorp/$1 v\([0-9.]*\).*|\1|p" "$PROVISION/$1/go.mod" | head -n 1; }

# have_tool NAME tells whether $BIN has the program that its inputs make.
have_tool() { [ -x "$BIN/$1" ] && [ "$(cat "$BIN/.$1.inputs" 2>/dev/null)" = "$(tool_inputs "$1")" ]; }

# download_tool NAME takes HashiCorp's own build of the pinned version, when the release site can be reached
# and what it sends has the sum in hashicorp.sums.
download_tool() {
	local name=$1 zip dir
	zip=${name}_$(tool_version "$name")_linux_amd64.zip
	grep -q "  $zip\$" "$PROVISION/hashicorp.sums" || return 1
	dir=$(mktemp -d "$BIN/.download.XXXXXX")
	if ! curl --fail --silent --show-error --location --connect-timeout 5 --speed-limit 20000 --speed-time 10 --max-time 600 \
		-o "$dir/$zip" "$HASHICORP_RELEASES/$name/$(tool_version "$name")/$zip" 2>"$dir/said"; then
		say "  $name cannot be downloaded from $HASHICORP_RELEASES: $(head -n 1 "$dir/said")"
	elif ! (cd "$dir" && grep "  $zip\$" "$PROVISION/hashicorp.sums" | sha256sum --check --status); then
		say "  $name from $HASHICORP_RELEASES is not used: $zip has not the sum that hashicorp.sums says"
	elif unzip -q -o "$dir/$zip" "$name" -d "$dir" && mv -f "$dir/$name" "$BIN/$name"; then
		cold
		tool_inputs "$name" >"$BIN/.$name.inputs"
		rm -rf "$dir"
		say "  $name $(tool_version "$name"): downloaded"
		return 0
	fi
	rm -rf "$dir"
	return 1
}

# build_tool NAME PACKAGE FLAGS… builds a program into $BIN from its own module here.
build_tool() {
	local name=$1 package=$2
	shift 2
	! have_tool "$name" || return 0
	cold
	rm -f "$BIN/$name" # a link of supported would be followed
	progress "build $name (some minutes)" go -C "$PROVISION/$name" build -trimpath "$@" -ldflags '-s -w' -o "$BIN/$name" "$package"
	tool_inputs "$name" >"$BIN/.$name.inputs"
}
