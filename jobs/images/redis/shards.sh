# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034 # the variables are those of cluster.sh
# How many nodes own slots, and who copies them: what cluster.sh does about it. Sourced by
# cluster.sh, whose variables these functions read.

# survey prints "index id role slots master" for each node that is well; one that Consul does
# not list has no index of its own.
survey() {
  awk '
    NR == FNR { place[$1] = $3; next }
    $3 !~ /fail|handshake|noaddr/ {
      at = $2; sub("@.*", "", at)
      owned = 0
      for (i = 9; i <= NF; i++) if ($i !~ /^\[/) {
          n = split($i, range, "-")
          owned += range[n] - range[1] + 1
      }
      print (at in place ? place[at] : 999), $1, ($3 ~ /master/ ? "master" : "replica"), owned, $4
    }' <(echo "$peers") <(echo "$nodes") | sort -n
}

# due prints what this node has to do, if anything:
#   give    its slots away: it is to go, or there are more masters than there should be and it
#           is the smallest
#   yield   its place to a replica: it is to go, but its slots make a shard that stays
#   take    its share of the slots
#   even    out the shares, where a give or take was cut off
#   follow  a master that has fewer replicas than others
due() {
  awk -v me="$index" -v count="$count" -v waited=$((SECONDS - restless)) '
    $3 == "master" && $4 > 0 {
      holders++; holder[$2]
      if ($1 >= count) going++
      if ($1 >= count && $1 > me) before++
      if ($4 > most) most = $4
      if (fewest == "" || $4 <= fewest) { fewest = $4; smallest = $1 }
    }
    $3 == "master" && $4 == 0 && $1 < count && spare == "" { spare = $1 }
    $3 == "replica" && $1 < count { copies[$5]++; last[$5] = $1 }
    $1 == me { role = $3; owned = $4; master = $5 }
    END {
      wanted = count / 2
      if (role == "master" && owned > 0) {
        if (me >= count) print (before < holders - wanted ? "give" : "yield")
        else if (going || smallest != me) exit
        else if (holders > wanted) print "give"
        else if (holders == wanted && most > 1.1 * fewest) print "even"
      } else if (role == "master") {
        # Who follows is no longer told about slots that move, which ends the move: so not meanwhile.
        if (holders >= wanted && (most <= 1.1 * fewest || waited > 300)) print "follow"
        else if (me >= count && holders < wanted) print "follow"
        else if (me == spare && holders < wanted) print "take"
      } else if (me < count && copies[master] > 1 && last[master] == me) {
        for (id in holder) if (!(id in copies)) lonely = 1
        if (lonely) print "follow"
      }
    }' <<<"$view"
}

# myself prints this node's id.
myself() { awk '$3 ~ /myself/ { print $1 }' <<<"$nodes"; }

# remote is redis-cli for other nodes, which are reached through TLS alone.
remote() {
  local tls
  read -ra tls <<<"${REDIS_TLS-"--tls --cacert /secrets/tls/ca.pem"}"
  REDISCLI_AUTH=$(<"$REDIS_PASSWORD_FILE") redis-cli "${tls[@]}" "$@" </dev/null
}

# manage has redis-cli move slots, with their keys and without an error to any client. What it
# says is a line for each slot, of which the last ones tell why it failed.
manage() {
  local said
  say "$1 begins"
  if said=$(remote --cluster "$1" "$REDIS_ADDRESS:$REDIS_PORT" "${@:2}" --cluster-yes --cluster-pipeline 64 2>&1); then
    say "$1 is done"
  else
    say "$1 has failed: $(tail -n 5 <<<"$said")"
  fi
}

take() {
  local holders
  holders=$(awk '$3 == "master" && $4 > 0' <<<"$view" | wc -l)
  manage reshard --cluster-from all --cluster-to "$(myself)" --cluster-slots $((slots / (holders + 1)))
}

give() { manage rebalance --cluster-threshold 1 --cluster-weight "$(myself)=0"; }

even() { manage rebalance --cluster-threshold 1; }

yield() {
  local heir address
  heir=$(awk -v count="$count" -v id="$(myself)" '$3 == "replica" && $5 == id && $1 < count { print $2; exit }' <<<"$view")
  [[ -n $heir ]] || return 0
  address=$(awk -v id="$heir" '$1 == id { sub("@.*", "", $2); print $2 }' <<<"$nodes")
  say "hand over to $address: $(remote -h "${address%:*}" -p "${address##*:}" cluster failover)"
}

# close ends the move of a slot that has stood open for a while: whoever moved it is gone.
close() {
  local now
  now=$(awk '$3 ~ /myself/ { for (i = 9; i <= NF; i++) if ($i ~ /^\[/) print $i }' <<<"$nodes")
  [[ -n $now && $now == "$open" ]] && stuck=$((stuck + 1)) || stuck=0
  open=$now
  ((stuck >= 5)) || return 0
  stuck=0
  manage fix
}
