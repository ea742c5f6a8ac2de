#!/usr/bin/env bash
# Restores from the backups:
#
#   restore.sh check TIME    tells whether the backups lead to that time; touches nothing
#   restore.sh to TIME       recovers /data/restored up to that time, and stops there; /data/pgdata stays as it is
#   restore.sh swap          puts /data/restored in the place of /data/pgdata, which stays as /data/pgdata.before
#   restore.sh daily         verifies, unless that has been done within the last day
#   restore.sh verify        recovers to the end of the archive in a scratch directory and reads all there is, then removes
#                            what the repository had under earlier keys
#
# REPOSITORY says which one of pgbackrest.conf it is about, 1 or 2; no other is asked for anything. RESTORES is a file with
# the restores so far (choose_backup.py); 'to' prints the line of its own.
#
# TIME is 'YYYY-MM-DD HH:MM:SS', of UTC or with a zone (+02:00). No server may run on /data meanwhile: to and
# swap take the members' lock. What was prepared but not decided at TIME is there again as prepared.
set -euo pipefail

data=${DATA_DIR:-/data}
backups=${BACKUP_DIR:-/backup}
export PGBACKREST_REPO=${REPOSITORY:-1} # for what PostgreSQL calls too
socket=$(mktemp -d)
scratch=${SCRATCH_DIR:-$socket}/verify
server='' log=$socket/log
export PGPORT=5432 # of the socket; the member's own port is another
trap 'ended=$?; stop || true; rm -rf "$socket" "$scratch"; [[ $ended != 0 ]] || forget' EXIT

# forget empties the secrets that Nomad rendered for this task: Nomad keeps the folder of a finished one for hours.
forget() { [[ -z ${NOMAD_SECRETS_DIR:-} ]] || find "$NOMAD_SECRETS_DIR" -type f -user "$(id -u)" -exec truncate --size 0 {} +; }

say() { echo "restore: $*"; }
die() {
  echo "restore: $*" >&2
  exit 1
}
sql() { psql --no-psqlrc --quiet --tuples-only --no-align --set ON_ERROR_STOP=1 --host "$socket" --username postgres --dbname postgres --command "$1"; }

# lock takes the members' lock of the data directory, for as long as this script lives.
lock() {
  exec 9<>"$data/.lock"
  flock --timeout 30 9 || die "$data is in use: stop the member first"
}

# start runs the server on a directory, for nobody but this script. The settings are the cluster's own, which a
# recovery needs, but for those that are about its place, its clients and its standbys.
start() {
  local directory=$1
  shift
  PGBACKREST_PG1_PATH=$directory postgres -D "$directory" -c listen_addresses= -c "unix_socket_directories=$socket" \
    -c port=5432 -c ssl=off -c synchronous_standby_names= -c shared_buffers=16MB -c logging_collector=off -c log_destination=stderr \
    -c "hba_file=$directory/pg_hba.conf" -c "ident_file=$directory/pg_ident.conf" "$@" >"$log" 2>&1 &
  server=$!
}

# recovered waits for the end of the recovery. The server ends by itself when it cannot come there.
recovered() {
  local said=$SECONDS
  until [[ $(sql 'select pg_is_in_recovery()' 2>/dev/null) == f ]]; do
    if ! kill -0 "$server" 2>/dev/null; then
      tail -n 20 "$log" >&2
      grep -q 'before configured recovery target was reached' "$log" &&
        die "the archive ends before that time: restore to an earlier one"
      die "the recovery has failed"
    fi
    if ((SECONDS - said >= 5)); then
      said=$SECONDS
      say "recovering, at $(sql "select coalesce(pg_last_wal_replay_lsn()::text, 'the beginning')" 2>/dev/null || echo 'the beginning')"
    fi
    sleep 0.2
  done
  say "recovered: the last commit is of $(sql "select coalesce(pg_last_xact_replay_timestamp()::text, 'before the backup')")," \
    "$(sql 'select count(*) from pg_prepared_xacts') transactions are prepared"
}

stop() {
  [[ -n $server ]] || return 0
  kill -INT "$server" 2>/dev/null || true
  wait "$server" || true
  server=''
}

# info is what the repository knows of its backups.
info() { pgbackrest --stanza=shop info --output=json; }

# choose sets label and timeline to those that lead to the time.
choose() {
  local chosen restores=("${RESTORES:-/dev/null}")
  if ! [[ $1 =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}[\ T][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:?[0-9]{2})?$ ]] ||
    ! at=$(date --utc --date "$1" +%s.%N 2>/dev/null); then
    die "'$1' is not a time like '2026-01-31 12:00:00'"
  fi
  ((${at%.*} <= $(date +%s))) || die "'$1' has not come yet"
  # Those of before Nomad kept them are in a file beside the first repository.
  [[ ! -e $backups/restores ]] || restores+=("$backups/restores")
  sort -u "${restores[@]}" >"$socket/restores"
  chosen=$(info | choose_backup.py "$at" "$socket/restores")
  read -r label timeline <<<"$chosen"
  say "backup $label of repository $PGBACKREST_REPO leads to $1"
}

recover_to() {
  local ended
  choose "$1"
  lock
  rm -rf "$data/restored"
  ended=$(newest_timeline)
  pgbackrest --stanza=shop --pg1-path="$data/restored" --set="$label" --type=time \
    --target="$(date --utc --date "$1" '+%F %T.%6N+00')" --target-action=promote --target-timeline="$timeline" restore
  start "$data/restored"
  recovered
  # What led here must not be read again, by no later recovery.
  for setting in restore_command recovery_target_time recovery_target_action recovery_target_timeline; do
    sql "alter system reset $setting"
  done
  stop
  pg_controldata "$data/restored" | grep -q 'cluster state: *shut down$' || die "the restored server did not shut down in order"
  say "record $(date +%s) $at $ended"
  say "system $(pg_controldata "$data/restored" | sed -n 's/^Database system identifier: *//p') is ready in $data/restored"
}

# newest_timeline prints the highest one that has archived anything, which this restore ends.
newest_timeline() {
  info | python3 -c '
import json, sys
print(max(int(a["max"][:8], 16) for s in json.load(sys.stdin) for a in s["archive"] if a["max"]))'
}

swap() {
  lock
  rm -rf "$data/pgdata.before"
  if [[ -e $data/pgdata ]]; then
    mv "$data/pgdata" "$data/pgdata.before"
    say "what was there is now $data/pgdata.before"
  fi
  if [[ -e $data/restored ]]; then
    mv "$data/restored" "$data/pgdata"
    say "$data/pgdata is what was restored"
  fi
}

verify() {
  local newest
  newest=$(info | python3 -c '
import json, sys
print(max((b["timestamp"]["stop"], b["label"]) for s in json.load(sys.stdin) for b in s["backup"])[1])')
  rm -rf "$scratch"
  pgbackrest --stanza=shop --pg1-path="$scratch" --archive-mode=off --set="$newest" restore
  start "$scratch"
  recovered
  say "read $(pg_dumpall --host "$socket" --username postgres --no-role-passwords | wc -c) bytes of SQL out of repository $PGBACKREST_REPO: all of it can be read"
  stop
  pgbackrest --stanza=shop --set="$newest" --annotation="verified=$(date +%s)" annotate
  remove_older
}

# remove_older removes what the repository had under earlier keys, now that what it has under this one is proved. The
# folders are repo, which had none, and repo-<number>.
remove_older() {
  local path key=repo$PGBACKREST_REPO-path name
  path=$(sed -n "s/^$key=//p" "$PGBACKREST_CONFIG")
  for name in $(pgbackrest "--$key=${path%/*}" repo-ls); do
    if [[ $name == repo || $name =~ ^repo-[0-9]+$ ]] && ((${name//[!0-9]/} + 0 < ${path##*/repo-})); then
      pgbackrest "--$key=${path%/*}" repo-rm --recurse "$name"
      say "removed $name, which an earlier key encrypted, or none"
    fi
  done
}

# daily looks for the proof where the backups are: nothing else knows of it once this container is gone.
daily() {
  local proved
  proved=$(info | python3 -c '
import json, sys
print(max((int(b.get("annotation", {}).get("verified", 0)) for s in json.load(sys.stdin) for b in s["backup"]), default=0))')
  if (($(date +%s) - proved < 23 * 3600)); then
    say "repository $PGBACKREST_REPO was verified within the last day: $(date --utc --date "@$proved" '+%F %T UTC')"
    return
  fi
  verify
}

case ${1:-} in
  check) choose "${2:?a time is missing}" ;;
  to) recover_to "${2:?a time is missing}" ;;
  swap) swap ;;
  daily) daily ;;
  verify) verify ;;
  *) die "usage: restore.sh check TIME | to TIME | swap | daily | verify" ;;
esac
