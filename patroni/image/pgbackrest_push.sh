#!/bin/sh
# pgbackrest_push.sh PATH: what PostgreSQL archives a file of its WAL with (archive_command; pgBackRest backs nothing
# up unless it finds its own name there). The archive refuses a file that it has with other contents, and a leader
# that is refused one archives nothing more: its WAL would fill its disk. Two versions there are only of the segment
# in which one timeline left another: one leader wrote on for a while after the standbys had the last of it, and a
# clone or a rewind took the file along. Nobody needs the rest of it: who restores the newer timeline takes its own
# copy of that segment.
set -u

pgbackrest --stanza=shop archive-push "$1"
status=$?
[ $status -eq 45 ] || exit $status # ArchiveDuplicateError

file=${1##*/}
for history in "${1%"$file"}"*.history; do
	[ -e "$history" ] || break
	newer=${history##*/}
	# Both begin with eight hexadecimal digits.
	if [ "$((0x${newer%.history}))" -gt "$((0x${file%"${file#????????}"}))" ]; then
		echo "pgbackrest_push: $file is in the archive already, as another leader wrote it" >&2
		exit 0
	fi
done
exit $status
