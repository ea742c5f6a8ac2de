#!/usr/bin/env bash
# Sets a machine up, stage by stage, to running agents; each stage is a script of its own that can be run alone, and
# changes nothing when there is nothing to do. BOOKSTORE_ROLE is both on one machine (the default), server or client on
# machines of a lab. Where BOOKSTORE_GIVEN is set nothing is installed or built. What goes on the cluster then is for
# 'go tool shop', whose 'up' runs this first.
: "${BOOKSTORE_EGRESS=}" # what was opened before is closed where it is not named again
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
become_root "$@"

exec 9>"$RUN/provision.lock"
flock -n 9 || die "another run of these scripts is under way on this machine: wait for it to end"
rm -f "$RUN/cold"
stages=(00-preflight 10-packages 30-hashicorp 20-docker 37-versitygw 37-alertmanager 40-images 50-network 52-egress 55-access 60-consul 70-nomad)
[ -z "$BOOKSTORE_GIVEN" ] || stages=(00-preflight 20-docker 45-given 50-network 52-egress 55-access 60-consul 70-nomad)

mkdir -p "$(dirname "$SETTINGS")"
for key in "${settings[@]}"; do printf '%s=%s\n' "$key" "${!key}"; done >"$SETTINGS.new"
chmod 644 "$SETTINGS.new"
mv "$SETTINGS.new" "$SETTINGS"

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
		55-access)
			if [ -z "$BOOKSTORE_GIVEN" ]; then
				stage "30-hashicorp"
				beside_end || die "Nomad and Consul are not there: see the lines of [tools]"
				timing 30-hashicorp "$tools_began"
			fi
			;;
	esac
	stage "$name"
	began=$(date +%s%N)
	bash "$PROVISION/$name.sh" 9>&-
	timing "$name" "$began"
done

# Rules of the network and addresses of bridges do not outlast a boot, nor does what allocations had in memory.
if [ -d /run/systemd/system ]; then
	install_unit bookstore-network.service <<-EOF
		[Unit]
		Description=network of the bookstore
		After=network-online.target docker.service
		Wants=network-online.target

		[Service]
		Type=oneshot
		RemainAfterExit=yes
		ExecStart=/bin/bash $PROVISION/50-network.sh
		ExecStart=/bin/bash $PROVISION/52-egress.sh
		ExecStart=-$BIN/shop booted

		[Install]
		WantedBy=multi-user.target
	EOF
fi

stage "this machine is ready"
printf '  %s\n' "${timings[@]}"
