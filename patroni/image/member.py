#!/usr/bin/env python3
"""Runs Patroni with a heartbeat that its fence can watch, with some of its waits shortened, without a need
of an operator where a member's data is a ruin, with a replica that stands still while the warehouse
reads it, with a REST API that only members come to (mesh.py), with a promotion only after the leader before
has lost its standbys (followers.py), and with a look whether the leader's timeline is this member's before it follows
(forks.py). None of the waits decides anything: each only puts off by a second or two that
Patroni looks at what has happened already, while writes wait."""
import concurrent.futures
import os
import ssl
import sys
import threading
import time
from urllib.parse import urlparse

import followers
import forks
import mesh
import patroni.postgresql  # first: it and patroni.ha import each other
import patroni.ha
from patroni import thread_pool
from patroni.__main__ import main
from patroni.api import RestApiHandler, RestApiServer
from patroni.dcs.consul import Check, ConsulException, HTTPError, HTTPException
from patroni.exceptions import DCSError, PostgresConnectionException
from patroni.ha import Ha, _MemberStatus
from patroni.postgresql import Postgresql
from patroni.postgresql.connection import ConnectionPool
from patroni.postgresql.rewind import Rewind
from patroni.psycopg import Error
from patroni.request import HTTPSConnectionPool

LOOK = 0.1  # seconds between two looks at what may have happened

# A leader that stops PostgreSQL looks this often whether that is done, where Patroni takes a second …
patroni.postgresql.STOP_POLLING_INTERVAL = 0.1
# … and gives the standbys this long to get the last of it, where Patroni takes another. Those that have not
# everything by then get it before PostgreSQL has stopped, and the key goes when that is so.
MOMENT = 0.1

# In a race for the key Patroni waits two seconds for members that do not answer. Where enough others have answered …
SOON = 1  # second is enough: a whole host is silent then.

STOPPING = "/data/.stopping"  # is there while this member has been told to stop

HANDSHAKE = 2  # seconds for who connects to the REST API to say who it is

make = Ha.__init__
run = Ha.run_cycle
wait = Ha.watch
acquire = Ha.acquire_lock
status_of = Ha.fetch_nodes_statuses
find_upstream = Ha._get_node_to_follow
recover_crashed = Ha._handle_crash_recovery
rewind_or_clone = Ha._handle_rewind_or_reinitialize
archive_left = Rewind._archive_ready_wals
resume_replay = Postgresql.handle_parameter_change
prepare = Postgresql._pre_promote
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
    self.deposed = None  # who led before this member had the key, where it knows
    self.still_leads = False  # whether a member answered in this round that it leads
    self.compared = self.seen = None  # with which leader this member's newest timeline was compared (forks.py), and who led then
    self.state_handler.wanted = None  # the address of the server to follow
    self.state_handler.secured = lambda: followers.secured(self)


def run_cycle(self):
    """Does Patroni's round, and before it has a ruin cloned anew. A leader on one is stopped, and replaced as
    any that has crashed: it may go on for long with the files that it has open, and fails at all others."""
    self.still_leads = False
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


def acquire_lock(self):
    """Takes the leader's key, but where this member has been told to stop (entrypoint.sh): its reign would end at once."""
    if os.path.exists(STOPPING):
        self.set_is_leader(False)
        return False
    self.deposed = self.old_cluster.leader
    return acquire(self)


def fetch_nodes_statuses(self, members):
    """Asks all members at once how they are, as Patroni does, but waits for the silent ones only until enough have answered."""
    if self.state_handler.is_primary():
        return status_of(self, members)
    asked = {thread_pool.get_executor().submit(self.fetch_node_status, m): m for m in members}
    answered, silent = concurrent.futures.wait(asked, SOON)
    if sum(answer.result().reachable for answer in answered) < self.cluster.sync.quorum:
        answered, silent = concurrent.futures.wait(asked)
    statuses = [answer.result() for answer in answered] + [_MemberStatus.unknown(asked[answer]) for answer in silent]
    self.still_leads = any(status.in_recovery is False for status in statuses)
    return statuses


def get_node_to_follow(self, cluster):
    """Whom to follow. Where the key is nobody's, but a member answers that it leads, this one stays with it: Consul's agent
    on the leader's host is away, or was slow, and the leader takes the key again. Patroni would follow nobody, and writes wait."""
    node, last = find_upstream(self, cluster), self.old_cluster.leader
    if node is None and cluster.is_unlocked() and self.still_leads and last and last.name != self.state_handler.name:
        node = last
    self.state_handler.wanted = "{host}:{port}".format(**node.conn_kwargs()) if node and node.conn_url else None
    return node


def handle_crash_recovery(self):
    return forks.hold(self) or recover_crashed(self)


def handle_rewind_or_reinitialize(self):
    return forks.hold(self) or rewind_or_clone(self)


def archive_ready_wals(self):
    if forks.may_archive(self._postgresql):
        archive_left(self)


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
    the next leader needs this standby, which comes to it only when its replay goes on: it is ended."""
    try:
        if self.replay_paused() and self.query("SELECT 1 " + EXPORT, retry=False):
            upstream = self.query(followers.UPSTREAM + " WHERE status = 'streaming'", retry=False)
            if upstream and self.wanted in (None, upstream[0][0]):
                return
            end_exports(self)
    except (Error, PostgresConnectionException):
        return  # the next round asks again
    resume_replay(self)


def pre_promote(self):
    """What decides last whether this member, which has the key, is promoted."""
    return prepare(self) and self.secured()


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


def do_GET_upstream(self):
    """Tells a member that is to lead whom this one follows, and how far (followers.py)."""
    try:
        self._write_json_response(200, followers.has(self.query))
    except (Error, PostgresConnectionException):
        self.send_error(503)


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
Ha.acquire_lock = acquire_lock
Ha.fetch_nodes_statuses = fetch_nodes_statuses
Ha._get_node_to_follow = get_node_to_follow
Ha._handle_crash_recovery = handle_crash_recovery
Ha._handle_rewind_or_reinitialize = handle_rewind_or_reinitialize
Rewind._archive_ready_wals = archive_ready_wals
Postgresql.handle_parameter_change = handle_parameter_change
Postgresql._pre_promote = pre_promote
Postgresql.promote = promote
ConnectionPool.conn_kwargs = connect.getter(conn_kwargs)
RestApiServer.process_request_thread = process_request_thread
RestApiHandler.do_GET_upstream = do_GET_upstream
HTTPSConnectionPool._validate_conn = validate
Check.http = check

if __name__ == "__main__":
    threading.Thread(target=beat, args=("/data/.alive",), daemon=True).start()
    sys.exit(main())
