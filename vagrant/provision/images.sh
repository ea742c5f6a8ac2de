# shellcheck shell=bash
# What 40-images.sh knows of an image: what it is made of, whether that is what packages.lock says, its labels and tags.
# Source it after lib.sh, with $work a folder, $work/lock the packages that are locked, and $updating where none is.
# shellcheck disable=SC2154 # work and updating are the caller's

# inputs_of DIR [BASE] prints a hash of a build context's files, modes and, where it has one, its base image.
inputs_of() {
	{
		(cd "$1" && find . -type f -printf '%m %p\n' | sort && find . -type f -print0 | sort -z | xargs -0 sha256sum)
		[ -z "${2:-}" ] || image_inputs "$2"
	} | sha256sum | cut -c1-12
}

# image NAME CONTEXT [BASE] builds bookstore/NAME where its inputs changed.
image() {
	local name=$1 context=$2 base=${3:-} wanted
	wanted=$(inputs_of "$context" "$base")
	[ -n "$updating" ] || [ "$(image_label "$name" wanted)" != "$wanted" ] || return 0
	progress "image $name" docker build --network host ${updating:+--no-cache} -t "bookstore/$name:building" "$context"
	finished "$name" "$wanted"
}

# finished NAME WANTED labels an image that was just built, and gives it its tags. Its inputs are what was wanted and, where
# packages are not those of the lock, which.
finished() {
	local name=$1 wanted=$2 inputs=$2 unlocked
	unlocked=$(comm -13 "$work/lock" <(packages_of "$name:building"))
	if [ -n "$unlocked" ] && [ -z "$updating" ]; then
		say "  $name has packages that packages.lock has not: $(cut -d ' ' -f 1 <<<"$unlocked" | head -n 8 | paste -sd ' ')" \
			"($(wc -l <<<"$unlocked") in all). The archive keeps only the newest: 'go tool task images:update' locks them."
		[ -z "$BOOKSTORE_DEBIAN_SNAPSHOT" ] || die "$BOOKSTORE_DEBIAN_SNAPSHOT should have what is locked"
		inputs=$(printf '%s\n' "$wanted" "$unlocked" | sha256sum | cut -c1-12)
	fi
	docker build -q --label "bookstore.wanted=$wanted" --label "bookstore.inputs=$inputs" \
		-t "bookstore/$name:$VERSION" -t "bookstore/$name:$VERSION-$inputs" - <<<"FROM bookstore/$name:building" >"$work/said" 2>&1 ||
		die "label the image $name: $(<"$work/said")"
	docker rmi "bookstore/$name:building" >/dev/null
	built=$((built + 1))
	cold
}

# packages_of IMAGE prints what packages.sh has listed in it: nothing where it has no packages.
packages_of() {
	local container
	container=$(docker create "bookstore/$1" /none)
	docker cp "$container:/usr/share/bookstore/packages" - 2>/dev/null | tar -xO 2>/dev/null || true
	docker rm "$container" >/dev/null
}

# snapshot_sources prints the archive as it was on the date of the lock.
snapshot_sources() {
	local archive suite
	for suite in debian/bookworm debian/bookworm-updates debian-security/bookworm-security; do
		archive=$BOOKSTORE_DEBIAN_SNAPSHOT/${suite%/*}/$(lock_date +%Y%m%dT%H%M%SZ)
		echo "deb [check-valid-until=no] $archive ${suite#*/} main"
	done
}

# lock_date FORMAT… prints when packages.lock was made.
lock_date() { date -u -d "$(sed -n 's/^date //p' "$PROVISION/packages.lock")" "$@"; }
