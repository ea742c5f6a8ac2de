#!/usr/bin/env bash
# check.sh IMAGE: lets Patroni itself validate patroni.yml, with the environment and the
# passwords that the job adds, in the image that will run it. There it also tries the examples of
# hand_over.py, mesh.py, followers.py and forks.py, and whether every process of PostgreSQL has the lock that its fence goes by.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
image=${1:?usage: check.sh IMAGE}

config=$(mktemp -d)
trap 'rm -rf "$config"' EXIT
install -m 644 "$here/patroni.yml" "$config/patroni.yml"
# The template's actions out, a password in where it would stand.
sed -e '/^{{/d' -e 's/{{.*}}/"checked"/' "$here/passwords.yml.tpl" >"$config/passwords.yml"
chmod 755 "$config"
chmod 644 "$config/passwords.yml"
# A certificate and its key, as the job has them.
mkdir "$config/tls"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj / \
  -keyout "$config/tls/key" -out "$config/tls/ca.pem" 2>/dev/null
cat "$config/tls/ca.pem" "$config/tls/key" >"$config/tls/leaf.pem"
chmod 755 "$config/tls"
chmod 644 "$config"/tls/*

docker run --rm --network none --volume "$config/patroni.yml:/secrets/patroni/patroni.yml:ro" \
  --volume "$config/passwords.yml:/secrets/patroni/passwords.yml:ro" --volume "$config/tls:/secrets/tls:ro" \
  --env PATRONI_NAME=patroni-0 \
  --env PATRONI_POSTGRESQL_LISTEN=127.0.0.1:5432 --env PATRONI_POSTGRESQL_CONNECT_ADDRESS=172.31.250.1:5432 \
  --env PATRONI_RESTAPI_LISTEN=127.0.0.1:8008 --env PATRONI_RESTAPI_CONNECT_ADDRESS=172.31.250.1:8008 \
  --entrypoint bash "$image" -ec '
    # The validation wants to reach Consul: anything that listens will do.
    python3 -m http.server --bind 127.0.0.1 8501 >/dev/null 2>&1 &
    until (: </dev/tcp/127.0.0.1/8501) 2>/dev/null; do sleep 0.1; done
    patroni --validate-config /secrets/patroni
    PATRONI_RESTAPI_CONNECT_ADDRESS=127.0.0.1:8008 NOMAD_ADDR_status=127.0.0.1:8009 python3 -m doctest "$(type -P hand_over.py)"
    python3 -m doctest "$(type -P mesh.py)"
    python3 -m doctest "$(type -P followers.py)"
    python3 -m doctest "$(type -P forks.py)"
    # What member.py changes has to be there as it was when that was written.
    python3 -c "
import inspect, patroni.postgresql, patroni.postgresql.rewind, patroni.ha, patroni.api, patroni.request, patroni.dcs.consul
assert patroni.postgresql.STOP_POLLING_INTERVAL == 1
assert \"not self.cluster or self.cluster.is_unlocked()\" in inspect.getsource(patroni.ha.Ha.watch)
assert \"time.sleep(1)  # give replicas\" in inspect.getsource(patroni.ha.Ha.demote)
assert \"time.sleep(2)  # Give a time to somebody\" in inspect.getsource(patroni.ha.Ha.process_unhealthy_cluster)
assert \"all_known_members = self.old_cluster.members\" in inspect.getsource(patroni.ha.Ha.is_healthiest_node)
assert \"self._async_response.result is False\" in inspect.getsource(patroni.ha.Ha.enforce_primary_role)
assert \"ret = self._pre_promote()\" in inspect.getsource(patroni.postgresql.Postgresql.promote)
assert \"for st in self.fetch_nodes_statuses(members)\" in inspect.getsource(patroni.ha.Ha._is_healthiest_node)
assert \"node_to_follow = self._get_node_to_follow(self.cluster)\" in inspect.getsource(patroni.ha.Ha.follow)
assert inspect.getsource(patroni.ha.Ha.recover).count(\"self._handle_crash_recovery()\") == 1
assert \"msg = self._handle_rewind_or_reinitialize()\" in inspect.getsource(patroni.ha.Ha.recover)
assert \"msg = self._handle_rewind_or_reinitialize()\" in inspect.getsource(patroni.ha.Ha.follow).split(\"check_recovery_conf\")[0]
assert \"self._archive_ready_wals()\" in inspect.getsource(patroni.postgresql.rewind.Rewind.ensure_clean_shutdown)
assert list(inspect.signature(patroni.ha.Ha._do_reinitialize).parameters) == [\"self\", \"cluster\", \"from_leader\"]
assert \"do_handshake\" in inspect.getsource(patroni.api.RestApiServer.process_request_thread)
assert list(inspect.signature(patroni.request.HTTPSConnectionPool._validate_conn).parameters) == [\"self\", \"args\", \"kwargs\"]
assert \"Check.http(api_parts.geturl(), self._service_check_interval,\" in inspect.getsource(patroni.dcs.consul.Consul._update_service)"
    PYTHONPATH=$(dirname "$(type -P member.py)") python3 -c "import member, patroni.ha; assert patroni.ha.Ha.watch is member.watch
pool = member.ConnectionPool()
pool.conn_kwargs = {}
assert pool.conn_kwargs[\"options\"].endswith(\"-c pgaudit.log=none\")"'
echo "patroni.yml: valid; hand_over.py, mesh.py, followers.py, forks.py: as their examples say; member.py: fits this Patroni"

# One session is open meanwhile: its process was forked last.
docker run --rm --network none --env PGHOST=/tmp --entrypoint timeout "$image" 60 bash -ec '
  initdb --auth trust --pgdata /data/pgdata >/dev/null
  postgres.sh -D /data/pgdata -c unix_socket_directories=/tmp >/tmp/log 2>&1 &
  until pg_isready --quiet; do sleep 0.1; done
  exec 7> >(exec psql --quiet --dbname postgres >/dev/null 2>&1)
  until [ "$(psql --dbname postgres --no-align --tuples-only --command "$1")" = 2 ]; do sleep 0.1; done
  processes=0
  for process in /proc/[0-9]*; do
    [[ $(readlink "$process/exe") == */postgres ]] || continue
    ls -l "$process/fd" | grep -q /data/.postgres.lock || exit 1
    processes=$((processes + 1))
  done
  [ "$processes" -ge 7 ]
  kill -KILL "$(head -n 1 /data/pgdata/postmaster.pid)"
  flock --exclusive --timeout 30 /data/.postgres.lock true
  echo "postgres.sh: all $processes processes have the lock, it ends with them"' \
  bash "select count(*) from pg_stat_activity where application_name = 'psql'" 2>/dev/null ||
  { echo "not every process of PostgreSQL has the lock, or it outlives them" >&2; exit 1; }
