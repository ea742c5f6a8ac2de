#!/usr/bin/env python3
"""Runs Patroni with a heartbeat that its fence can watch, with some of its waits shortened, without a need
of an operator where a member's data is a ruin, with a replica that stands still while the warehouse
reads it, and with a REST API that only members come to (mesh.py). None of the waits decides anything: each only puts off by a second or two that Patroni looks at
what has happened already, while writes wait."""
import os
import ssl
import sys
import threading
import time
from urllib.parse import urlparse

import mesh
import patroni.postgresql  # first: it and patroni.ha import each other
import patroni.ha
from patroni.__main__ import main
from patroni.api import RestApiServer
from patroni.dcs.consul import Check, ConsulException, HTTPError, HTTPException
from patroni.exceptions import DCSError, PostgresConnectionException
from patroni.ha import Ha
from patroni.postgresql import Postgresql
from patroni.postgresql.connection import ConnectionPool
from patroni.psycopg import Error
from patroni.request import HTTPSConnectionPool

LOOK = 0.1  # seconds between two looks at what may have happened

# A leader that stops PostgreSQL looks this often whether that is done, where Patroni takes a second …
patroni.postgresql.STOP_POLLING_INTERVAL = 0.1
# … and gives the standbys this long to get the last of it, where Patroni takes another. Those that have not
# everything by then get it before PostgreSQL has stopped, and the key goes when that is so.
MOMENT = 0.1

HANDSHAKE = 2  # seconds for who connects to the REST API to say who it is

make = Ha.__init__
run = Ha.run_cycle
wait = Ha.watch
resume_replay = Postgresql.handle_parameter_change
promote_member = Postgresql.promote
serve = RestApiServer.process_request_thread
connect = ConnectionPool.conn_kwargs

# The backends of the warehouse's export, in whichever database.
EXPORT = "FROM pg_catalog.pg_stat_activity WHERE usename = 'warehouse'"


class Clock:
    """What Patroni's decisions know as the module time."""

    def __init__(self, ha):
        self.ha = ha

    def __getattr__(self, name):
        return getattr(time, name)

    def sleep(self, seconds):
        """Sleeps, but where Patroni lets two seconds pass for somebody to become the leader only until
        somebody is: a standby that is not to be the leader follows it then."""
        end = time.time() + (MOMENT if seconds == 1 else seconds)
        while (left := end - time.time()) > 0 and leader(self.ha.dcs) in (None, "", self.ha.state_handler.name):
            time.sleep(min(left, LOOK))


def init(self, *args):
    make(self, *args)
    patroni.ha.time = Clock(self)


def run_cycle(self):
    """Does Patroni's round, and before it has a ruin cloned anew. A leader on one is stopped, and replaced as
    any that has crashed: it may go on for long with the files that it has open, and fails at all others."""
    if ruined(self):
        if self.state_handler.is_running():
            self.state_handler.stop("immediate")
        try:
            self.reinitialize(from_leader=True)  # refuses where there is no leader, or where that is this member
        except DCSError:
            pass  # nobody says who leads: the next round asks again
    return run(self)


def watch(self, timeout):
    """Waits for the next round, as Patroni does, but without a leader only until there is one, and as
    the leader only while PostgreSQL runs.

    Patroni follows the leader's key as long as another member holds it; otherwise it comes back after
    loop_wait. Until two standbys have come back to it a new leader cannot acknowledge a write, and
    until a leader has come back a crash of its PostgreSQL goes unnoticed. And where Consul refuses to
    answer Patroni asks again at once, for all of that time.
    """
    if self._async_executor.busy or not self.cluster:
        return wait(self, timeout)
    if self.cluster.is_unlocked():
        def happened(): return leader(self.dcs)
    elif self.has_lock(False) and self.state_handler.is_running():
        def happened(): return not self.state_handler.is_running() or ruined(self)
    elif leader(self.dcs) is not None:
        return wait(self, timeout)
    else:
        def happened(): return False
    end = time.time() + timeout
    while (left := end - time.time()) > 0:
        if self.dcs.watch(None, min(left, LOOK)) or happened():
            return True
    return False


def leader(consul):
    """The name of the member that holds the leader's key, "" where nobody does, None without an answer."""
    try:
        key = consul._client.kv.get(consul.leader_path)[1]
    except (ConsulException, HTTPError, HTTPException, OSError):
        return None
    return key["Value"].decode() if key else ""


def ruined(ha) -> bool:
    """Whether the data directory has files and is none: its control file, the last that a clone
    writes, is missing. Nobody can open that again. Patroni clones into an empty directory by itself,
    of a ruin (files taken away under a running member, a clone that was killed) it only says so.
    """
    postgres = ha.state_handler
    return not (ha._async_executor.busy or ha.is_paused() or postgres.pg_control_exists()
                or postgres.data_directory_empty())


def handle_parameter_change(self):
    """Lets a paused replay go on, as Patroni does in each round of a replica, but not under an export of
    the warehouse (warehouse/cut), which paused it. One whose leader is gone is worth nothing any more, and
    the next leader may need this standby: it is ended."""
    try:
        if self.replay_paused() and self.query("SELECT 1 " + EXPORT, retry=False):
            if self.query("SELECT 1 FROM pg_catalog.pg_stat_wal_receiver WHERE status = 'streaming'", retry=False):
                return
            end_exports(self)
    except (Error, PostgresConnectionException):
        return  # the next round asks again
    resume_replay(self)


def promote(self, *args, **kwargs):
    """Promotes, without waiting for an export to read what the rest of the replay removes: PostgreSQL
    would, for max_standby_streaming_delay."""
    try:
        end_exports(self)
    except (Error, PostgresConnectionException):
        pass  # it may have to wait
    return promote_member(self, *args, **kwargs)


def end_exports(postgres):
    postgres.query("SELECT pg_catalog.pg_terminate_backend(pid) " + EXPORT, retry=False)


def beat(path):
    """Touches a file twice a second, for as long as the member does anything (fence/heartbeat.go)."""
    while True:
        try:
            with open(path, "a"):
                os.utime(path)
        except OSError:
            pass  # a disk that fails stops the heartbeat
        time.sleep(0.5)


def conn_kwargs(self):
    """What Patroni's own connections are made with: the superuser's, of whom all else is logged, every other second."""
    parameters = connect.fget(self)
    parameters["options"] += " -c pgaudit.log=none"
    return parameters


def process_request_thread(self, request, client_address):
    """Answers a member, and nobody else: Patroni would answer whoever has a certificate of the mesh CA."""
    try:
        request.settimeout(HANDSHAKE)
        request.do_handshake()
        mesh.require_member(request)
        request.settimeout(None)
    except OSError:
        self.shutdown_request(request)
        return
    serve(self, request, client_address)


def validate(_, connection):
    """Connects to another member, and makes sure that it is one before anything is said."""
    if connection.sock is None:
        connection.connect()
    if isinstance(connection.sock, ssl.SSLSocket):
        try:
            mesh.require_member(connection.sock)
        except OSError:
            connection.close()
            raise


def check(url, interval, deregister=None, **_):
    """What Consul is to check of a member: it has no certificate to ask Patroni with, so it asks the fence (status.go)."""
    status = "http://" + os.environ["NOMAD_ADDR_status"] + urlparse(url).path
    return {"http": status, "interval": interval, "DeregisterCriticalServiceAfter": deregister}


Ha.__init__ = init
Ha.run_cycle = run_cycle
Ha.watch = watch
Postgresql.handle_parameter_change = handle_parameter_change
Postgresql.promote = promote
ConnectionPool.conn_kwargs = connect.getter(conn_kwargs)
RestApiServer.process_request_thread = process_request_thread
HTTPSConnectionPool._validate_conn = validate
Check.http = check

if __name__ == "__main__":
    threading.Thread(target=beat, args=("/data/.alive",), daemon=True).start()
    sys.exit(main())
