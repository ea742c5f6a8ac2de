#!/usr/bin/env bash
# Whether the programs and images that a machine was to be given (BOOKSTORE_GIVEN) are there.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

[[ "$("$BIN/nomad" version 2>/dev/null | head -n 1)" =~ $NOMAD_SUPPORTED ]] || die "BOOKSTORE_GIVEN is set and $BIN/nomad is no supported Nomad: put one there"
[[ "$("$BIN/consul" version 2>/dev/null | head -n 1)" =~ $CONSUL_SUPPORTED ]] || die "BOOKSTORE_GIVEN is set and $BIN/consul is no supported Consul: put one there"
[ "$BOOKSTORE_ROLE" = server ] || for image in "pause:$VERSION" "envoy:$ENVOY_VERSION"; do
	docker image inspect "bookstore/$image" >/dev/null 2>&1 || die "BOOKSTORE_GIVEN is set and the image bookstore/$image is not there: load the images that 'go tool task images' lists where they were built"
done
