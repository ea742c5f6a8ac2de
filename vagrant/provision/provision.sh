#!/usr/bin/env bash
# Brings a machine up, stage by stage; each stage is a script of its own that can be run alone, and
# changes nothing when there is nothing to do. BOOKSTORE_ROLE both (one machine, the default) goes on to
# the jobs and the first order; server and client (machines of a lab) end with running agents.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

exec 9>"$RUN/provision.lock"
flock -n 9 || die "another run of these scripts is under way on this machine: wait for it to end"
rm -f "$RUN/cold"
stages=(00-preflight 10-packages 30-hashicorp 20-docker 40-images 50-network 60-consul 70-nomad)
[ "$BOOKSTORE_ROLE" != both ] || stages+=(80-volumes 81-secrets 82-mesh 90-jobs 91-first-order)

timings=()
timing() { timings+=("$(printf '%-16s %6.1f s' "$1" "$((($(date +%s%N) - $2) / 1000000))e-3")"); }
for name in "${stages[@]}"; do
	began=$(date +%s%N)
	case $name in
		# Where the tools have to be built that takes longest; nothing before the agents needs them.
		30-hashicorp)
			tools_began=$began
			stage "$name, beside what follows"
			beside tools bash "$PROVISION/$name.sh" 9>&-
			continue
			;;
		60-consul)
			stage "30-hashicorp"
			beside_end || die "Nomad and Consul are not there: see the lines of [tools]"
			timing 30-hashicorp "$tools_began"
			;;
	esac
	stage "$name"
	began=$(date +%s%N)
	bash "$PROVISION/$name.sh" 9>&-
	timing "$name" "$began"
done

stage "ready"
printf '  %s\n' "${timings[@]}"
[ "$BOOKSTORE_ROLE" = both ] || exit 0
cat <<TEXT

  shop        http://127.0.0.1:8080         curl http://127.0.0.1:8080/books?q=dune
  Nomad       http://127.0.0.1:4646/ui      jobs, allocations, logs
  Consul      http://127.0.0.1:8500/ui      services, intentions
  Prometheus  http://127.0.0.1:9090         metrics
  data        go tool task db:psql -- bookdb
  next        go tool task status | logs -- books | token | down | reset
TEXT
# Seconds to the first order on a machine that had its tools and images already.
[ -e "$RUN/cold" ] || printf 'figure up_warm_s %s\n' "$SECONDS"
