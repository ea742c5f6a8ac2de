#!/bin/sh
# archive_get.sh FILE TO: what a standby asks the archive with (restore_command). With each change of leader
# PostgreSQL asks for files that are not there yet, on the way to the promotion and to the new leader, and
# pgBackRest needs a tenth of a second to say so, ten times that where processors are short, and twenty seconds where S3 is
# away. In a repository that is a directory a look is enough, and S3 is asked only where that repository is lost.
set -eu

file=$1
repo=
while read -r line; do # not by a process of its own: all standbys ask several times a second while nobody leads
	case $line in repo1-path=*) repo=${line#*=} ;; esac
done <"$PGBACKREST_CONFIG"
if [ -d "$repo/archive" ]; then
	# <stanza>/<version>/<first 16 digits>/<segment>-<checksum>.zst, or <stanza>/<version>/<timeline>.history
	set -- "$@" "$repo"/archive/shop/*/"${file%????????}/$file"-* "$repo"/archive/shop/*/"$file"
	[ -e "$3" ] || [ -e "$4" ] || exit 1
	exec pgbackrest --stanza=shop --repo=1 archive-get "$file" "$2"
fi
exec pgbackrest --stanza=shop archive-get "$file" "$2"
