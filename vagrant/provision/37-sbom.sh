#!/usr/bin/env bash
# A bill of materials for each image that this machine has built: its Debian packages, Go modules, Python packages and
# programs, as CycloneDX, in $CACHE/sbom/<image>-<hash of its inputs>.cdx.json. What is there already is not made again.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

build_tool syft github.com/anchore/syft/cmd/syft
export SYFT_CHECK_FOR_APP_UPDATE=false
export SYFT_FILE_METADATA_SELECTION=none # packages, not each of their files
sbom=$CACHE/sbom
mkdir -p "$sbom"
made=0
for name in $(docker image ls --filter label=bookstore.inputs --format '{{.Repository}}:{{.Tag}}' | sed -n "s|^bookstore/\(.*\):$VERSION\$|\1|p"); do
	file=$name-$(image_inputs "$name").cdx.json
	[ ! -s "$sbom/$file" ] || continue
	progress "contents of $name" syft scan "docker:bookstore/$name:$VERSION" --quiet --output "cyclonedx-json=$sbom/.new"
	rm -f "$sbom/$name"-[0-9a-f]*.cdx.json # of the image that this one replaces
	mv "$sbom/.new" "$sbom/$file"
	made=$((made + 1))
done
say "  $made made; $(find "$sbom" -name '*.cdx.json' | wc -l) bills of materials in $sbom"
