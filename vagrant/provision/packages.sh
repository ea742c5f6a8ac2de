#!/bin/sh
# In an image: lists its packages, name=version and SHA-256, in /usr/share/bookstore/packages. apt runs it after each
# installation (40-images.sh sets that up), while it has the archive's signed index, where the hashes are. It fails where
# the index has another hash than packages.lock for the same version.
set -eu
export LC_ALL=C
folder=${1:-/usr/share/bookstore}
list=$folder/packages
cd "$(mktemp -d)"
dpkg-query -W -f '${db:Status-Status} ${Package}=${Version}\n' | sed -n 's/^installed //p' | sort >installed
touch "$list"
{
	cat "$list"
	xargs apt-cache show <installed 2>/dev/null |
		awk '$1 == "Package:" { name = $2 } $1 == "Version:" { version = $2 } $1 == "SHA256:" { print name "=" version, $2 }'
} | sort -u | join installed - >listed
if ! cut -d ' ' -f 1 listed | cmp -s - installed; then
	echo "these packages have no hash, or two: $(cut -d ' ' -f 1 listed | sort | uniq -u | comm -3 - installed | tr -d "\t" | paste -sd " " -)" >&2
	exit 1
fi
join listed "$folder/lock" | awk '$2 != $3 { print "the archive has another " $1 " than packages.lock: " $2; wrong = 1 } END { exit wrong }' >&2
cp listed "$list"
rm -r "$PWD"
