#!/usr/bin/env bash
# Joins this node to the cluster and keeps mending it for as long as the node runs: once a
# second while something is amiss, every five when all is well. Every node does the same from
# what it sees; no step needs another node to take turns, and each can be repeated:
#
#   meet    every address that Consul lists and the cluster does not know. This also brings
#           a cluster back whose nodes all returned on new ports: an id that is known at
#           another address moves.
#   forget  nodes that failed and are gone from Consul, once the cluster is whole without them.
#   close   a slot whose move was cut off.
#   claim   the first half of the nodes are born masters: node i takes what nobody owns of
#           the i-th part of the slots.
#   take    where fewer masters own slots than there should be, the first empty one takes its
#           share from all others; a node that is to go gives its slots away (shards.sh).
#   relink  a replica whose master came back on another port goes on calling the old one, though
#           its own table of nodes has the new one: it is told again whom it follows.
#   follow  a master without slots becomes the replica of the master with the fewest.
#
# How many nodes there should be is Consul's key redis/count, else the job's own count; half
# of them are masters, and a node whose index is beyond it is about to go.
#
# `cluster.sh show` prints what this node sees: index, id, role, slots and master of each.
set -uo pipefail

readonly index=${REDIS_INDEX:?} slots=16384
readonly consul=${CONSUL_HTTP_ADDR:-http://127.0.0.1:8500}
readonly socket=${REDIS_SOCKET:-/tmp/redis.sock}
# So many rounds in a row the picture must be whole before slots are claimed or a master is
# chosen: gossip about who owns what comes a little later than the news that a node is there.
readonly settled=3
count=${REDIS_COUNT:?} calm=0 restless=0 stuck=0 open=''

# shellcheck source=shards.sh
. "$(dirname "${BASH_SOURCE[0]}")/shards.sh"

say() { echo "cluster: $*"; }
redis() { REDISCLI_AUTH=$(<"${REDIS_PASSWORD_FILE:?}") redis-cli -s "$socket" "$@"; }

# look reads what the node and Consul know; without both nothing is done.
look() {
  local wanted
  nodes=$(redis cluster nodes | tr -d '\r') && [[ $nodes == *myself* ]] || return
  # "address:port bus-port index" for each node in Consul, healthy or not.
  peers=$(curl --fail --silent --max-time 2 "$consul/v1/catalog/service/redis" |
    jq --raw-output '.[] | "\(.ServiceAddress):\(.ServicePort) \(.ServiceMeta.bus_port) \(.ServiceMeta.index)"') &&
    [[ -n $peers ]] || return
  # A key that is not there is an answer; any other failure must not be taken for one.
  wanted=$(curl --silent --max-time 2 --write-out '\n%{http_code}' "$consul/v1/kv/redis/count?raw") || return
  case ${wanted##*$'\n'} in
    200) wanted=${wanted%$'\n'*} ;;
    404) wanted=$REDIS_COUNT ;;
    *) return 1 ;;
  esac
  [[ $wanted =~ ^[1-9][0-9]?$ ]] || return
  [[ $wanted == "$count" ]] || calm=0
  count=$wanted
  view=$(survey)
}

# meet introduces the peers that are not in the picture.
meet() {
  local address bus
  while read -r address bus _; do
    grep -qF " $address@" <<<"$nodes" && continue
    say "meet $address: $(redis cluster meet "${address%:*}" "${address##*:}" "$bus")"
  done <<<"$peers"
}

# whole tells whether as many nodes as there should be are there and well.
whole() {
  (($(awk '$3 !~ /fail|handshake|noaddr/ && $8 == "connected"' <<<"$nodes" | wc -l) >= count))
}

# forget drops the nodes that failed for good: their address is nobody's any more.
forget() {
  local id address
  while read -r id address; do
    grep -qF "${address%@*} " <<<"$peers" && continue
    say "forget $id at $address: $(redis cluster forget "$id")"
  done < <(awk '$3 ~ /(^|,)(fail|noaddr)(,|$)/ { print $1, $2 }' <<<"$nodes")
}

# unowned FIRST LAST prints the ranges between the two that no node owns: first, last, first, …
unowned() {
  awk -v first="$1" -v last="$2" '
    { for (i = 9; i <= NF; i++) if ($i !~ /^\[/) {
        n = split($i, range, "-")
        for (s = range[1]; s <= range[n]; s++) owned[s] = 1
    } }
    END { for (s = first; s <= last + 1; s++) {
        free = s <= last && !(s in owned)
        if (free && !open) { start = s; open = 1 }
        if (!free && open) { print start; print s - 1; open = 0 }
    } }' <<<"$nodes"
}

# claim takes what is free of this node's own part of the slots. What stays free because the
# nodes born to own it hold other places now, any empty master takes, and where there is none
# any other, each index at a time of its own.
claim() {
  local masters=$((count / 2)) first last patience=15 ranges
  case $(awk '$3 ~ /myself/ { print ($3 !~ /master/ ? "replica" : ($9 ~ /^[0-9]/ ? "holder" : "empty")) }' <<<"$nodes") in
    replica) return 0 ;;
    holder) patience=40 ;;
  esac
  first=$((index * slots / masters)) last=$(((index + 1) * slots / masters - 1))
  if ((calm >= patience + 3 * index)); then
    first=0 last=$((slots - 1))
  elif ((patience > 15 || index >= masters)); then
    return 0
  fi
  mapfile -t ranges < <(unowned "$first" "$last")
  ((${#ranges[@]} > 0)) || return 0
  say "claim slots ${ranges[*]}: $(redis cluster addslotsrange "${ranges[@]}")"
}

# follow makes this node the replica of the master that has the fewest, the one with the
# lowest slots first; nodes that choose at the same moment are spread by their index.
follow() {
  local candidates
  mapfile -t candidates < <(awk -v count="$count" '
    NR == FNR { if ($3 == "replica" && $1 < count) replicas[$5]++; next }
    $3 ~ /master/ && $3 !~ /myself|fail/ && $9 ~ /^[0-9]/ { split($9, range, "-"); print replicas[$1] + 0, range[1], $1 }' \
    <(echo "$view") <(echo "$nodes") |
    sort -n -k1,1 -k2,2 | awk 'NR == 1 { fewest = $1 } $1 == fewest { print $3 }')
  ((${#candidates[@]} > 0)) || return 0
  local master=${candidates[index % ${#candidates[@]}]}
  say "follow $master: $(redis cluster replicate "$master")"
}

# relink has a replica call its master where the master is now.
relink() {
  local master address link
  master=$(awk '$3 ~ /myself/ && $3 ~ /slave/ { print $4 }' <<<"$nodes")
  [[ -n $master ]] || return 0
  address=$(awk -v id="$master" '$1 == id { sub("@.*", "", $2); print $2 }' <<<"$nodes")
  link=$(redis info replication | tr -d '\r' | awk -F: '/^master_host:/ { host = $2 } /^master_port:/ { port = $2 } END { print host ":" port }')
  [[ $link != "$address" ]] || return 0
  say "follow $master at $address, not $link: $(redis cluster replicate "$master")"
}

# round is one look and what follows from it.
round() {
  local what
  look || return 0
  meet
  if ! whole; then
    calm=0
    return 0
  fi
  ((calm++)) || restless=$SECONDS
  ((calm >= settled)) || return 0
  forget
  relink
  close
  if [[ -n $(unowned 0 $((slots - 1))) ]]; then
    claim
    return 0
  fi
  what=$(due)
  [[ -n $what ]] || return 0
  "$what"
  # What was done is seen by all before the next thing is.
  calm=0
}

if [[ ${1:-} == show ]]; then
  look && echo "$view"
  exit
fi
until [[ -S $socket ]]; do sleep 0.1; done
while true; do
  round
  sleep $((calm > settled && SECONDS > 60 ? 5 : 1))
done
