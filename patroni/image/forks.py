"""What finds a member whose timeline is another one than the leader's of the same number, before it follows, and has it
cloned anew. PostgreSQL takes the next number of which neither the member nor the archive has a history, so two leaders
take the same one where the first ended before its history came anywhere (README.md, "Two timelines of one number").
PostgreSQL, pg_rewind and Patroni compare the numbers: to them both are one timeline."""
import json
import logging
import os
import re
import subprocess

from patroni.postgresql.connection import get_connection_cursor
from patroni.postgresql.misc import format_lsn, parse_history

import followers

logger = logging.getLogger(__name__)

SEGMENT, PAGE = 1 << 24, 8192  # bytes of a WAL file and of a page in it: initdb's defaults
HEADERS = 40, 24  # bytes of the header of a file's first page, and of any other
# Of a timeline's first record, which tells to the microsecond when it began. Its checksum is within, wherever a page ends.
FIRST = 48

LOOK = 3  # seconds to reach the leader
ARCHIVE = 30  # seconds for a command of the archive

# A leader that has been promoted writes on the new timeline before it has a checkpoint of it.
STATE = """SELECT pg_catalog.pg_is_in_recovery(), CASE WHEN pg_catalog.pg_is_in_recovery() THEN timeline_id
 ELSE ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int END
 FROM pg_catalog.pg_control_checkpoint()"""
READ = "SELECT pg_catalog.pg_read_binary_file('pg_wal/{}', {}, {}, true)"  # NULL where there is no such file


def newest(wal: str) -> int:
    """The number of the newest timeline that a member has in its WAL folder; 1 needs no history."""
    return max((int(name[:8], 16) for name in os.listdir(wal) if re.fullmatch(r"[0-9A-F]{8}\.history", name)), default=1)


def begun(history: str, own: int, number: int):
    """Where a timeline began by the history of a timeline, its own or that of a descendant; None: it is no ancestor.

    >>> history = "1\\t0/5000028\\tno reason\\n2\\t0/6000000\\tno reason\\n\\n4\\t0/7000100\\tno reason\\n"
    >>> [begun(history, 5, number) for number in (2, 3, 4, 5)]
    [83886120, None, 100663296, 117440768]
    """
    chain = list(parse_history(history))
    numbers = [line[0] for line in chain] + [own]
    place = numbers.index(number) if number in numbers else 0
    return chain[place - 1][1] if place else None


def place(number: int, start: int):
    """The WAL file in which a timeline begins, and the offset of its first record there.

    >>> place(19, 0x5000028), place(2, 0x103000000), place(2, 0x3002000)
    (('000000130000000000000005', 40), ('000000020000000100000003', 40), ('000000020000000000000003', 8216))
    """
    offset = start % SEGMENT
    header = 0 if start % PAGE else HEADERS[1] if offset else HEADERS[0]
    return f"{number:08X}{start >> 32:08X}{(start & 0xFFFFFFFF) // SEGMENT:08X}", offset + header


def first_record(read, number: int, newer: int, start: int):
    """The beginning of a timeline's first record; None where it is not there any more, or not yet.

    Who went on to a newer timeline within the file has it in that one's, which begins as a copy.

    >>> files = {"000000030000000000000005": bytes(40) + b"X" * 60, "000000020000000000000005.partial": bytes(99)}
    >>> def read(name, offset, count): return files[name][offset:offset + count] if name in files else None
    >>> first_record(read, 2, 3, 0x5000028) == b"X" * 48, first_record(read, 2, 2, 0x5000028), first_record(read, 4, 4, 0x5000028)
    (True, None, None)
    """
    for timeline in range(number, newer + 1):
        name, offset = place(timeline, start)
        for file in (name, name + ".partial"):
            record = read(file, offset, FIRST)
            if record and len(record) == FIRST and record[:4] != bytes(4):
                return bytes(record)
    return None


def read_own(wal: str):
    def read(name, offset, count):
        try:
            with open(os.path.join(wal, name), "rb") as file:
                file.seek(offset)
                return file.read(count)
        except FileNotFoundError:
            return None
    return read


class Leader:
    """What the leader's PostgreSQL tells of its WAL, as far as the login for pg_rewind may ask."""

    def __init__(self, cursor):
        self.cursor = cursor
        cursor.execute(STATE)
        self.in_recovery, self.timeline = cursor.fetchone()

    def read(self, name, offset, count):
        self.cursor.execute(READ.format(name, offset, count))
        return self.cursor.fetchone()[0]


def differs(wal: str, number: int, leader: Leader) -> str:
    """How this member's newest timeline differs from the leader's of that number; "" where nothing shows that it does."""
    with open(os.path.join(wal, f"{number:08X}.history"), encoding="utf-8") as file:
        here = begun(file.read(), number, number)
    there = begun(bytes(leader.read(f"{leader.timeline:08X}.history", 0, 1 << 20) or b"").decode(), leader.timeline, number)
    if here is None or there is None:  # whoever has not the leader's timeline in its past is Patroni's to judge, and pg_rewind's
        return ""
    if here != there:
        return f"it began at {format_lsn(here)}, the leader's at {format_lsn(there)}"
    own, others = (first_record(read, number, newer, here)
                   for read, newer in ((read_own(wal), number), (leader.read, leader.timeline)))
    if own is None or others is None or own == others:
        return ""
    return f"both began at {format_lsn(here)}, this one with {own.hex()}, the leader's with {others.hex()}"


def hold(ha):
    """Why this member must not follow the leader now; None: it may. To be asked before PostgreSQL starts and before it follows.

    In a failover, where writes wait for the followers, a member that has followed the leader before follows at once and compares
    in the next round.
    """
    leader, wal = ha.cluster.leader, ha.state_handler.wal_dir
    if not leader or leader.name == ha.state_handler.name or not leader.conn_url or ha.is_paused() or not os.path.isdir(wal):
        return None
    number = newest(wal)
    life = leader.name, leader.session
    if number == 1 or ha.compared == (life, number):
        return None
    if ha.compared and ha.compared[1] == number and ha.seen != life and ha.state_handler.is_running():
        ha.seen = life
        return None
    ha.seen = life
    auth = ha.state_handler.config.rewind_credentials
    try:
        with get_connection_cursor(**{**leader.conn_kwargs(auth), "dbname": ha.state_handler.database, "connect_timeout": LOOK}) as cursor:
            asked = Leader(cursor)
            if asked.in_recovery and asked.timeline < number:  # and may take this very number when it is promoted
                return f"waiting until {leader.name} is promoted: this member has timeline {number}"
            difference = differs(wal, number, asked)
    except Exception as problem:  # Patroni goes on without a comparison of its own, too; the next round asks again
        logger.warning("%s does not tell whether its timeline %s is this member's: %s", leader.name, number, problem)
        return None
    if not difference:
        ha.compared = life, number
        return None
    logger.error("timeline %s of this member is not that of the leader %s: %s", number, leader.name, difference)
    return clone(ha, leader, asked)


def clone(ha, leader, asked: Leader) -> str:
    """Has this member cloned anew, once that is sure to lose nothing; returns what it does."""
    why = "it is still in recovery" if asked.in_recovery else followed(ha, leader)
    if why:
        return f"not cloning from {leader.name} yet: {why}"
    logger.error("what this member has is on a timeline that was never acknowledged: it is removed and cloned from %s", leader.name)
    ha.compared = None
    msg = f"cloning anew from {leader.name}, another timeline of the same number"
    return ha._async_executor.try_run_async(msg, ha._do_reinitialize, args=(ha.cluster, True)) or msg


def followed(ha, leader) -> str:
    """Why it isn't certain that the leader acknowledges writes without this member; "": it is."""
    try:
        answer = ha.patroni.request(leader.member, "GET", "patroni", timeout=LOOK, retries=0)
        told = json.loads(answer.data)
    except Exception as problem:  # whatever it is: nothing is known
        return f"it does not tell who follows it: {problem}"
    return lacks(told, len(followers.members(ha)), ha.state_handler.name)


def lacks(told: dict, members: int, me: str) -> str:
    """What a leader that tells this of itself lacks to acknowledge a write without this member.

    >>> def standby(n, state="streaming", sync="quorum"): return {"application_name": f"patroni-{n}", "state": state, "sync_state": sync}
    >>> lacks({"role": "primary", "replication": [standby(1), standby(2)]}, 5, "patroni-4")
    ''
    >>> lacks({"role": "primary", "replication": [standby(1), standby(4), standby(2, "catchup"), standby(3, sync="async")]}, 5, "patroni-4")
    '1 of 2 standbys follow it'
    >>> lacks({"role": "primary", "replication": [standby(1)]}, 3, "patroni-4")
    ''
    >>> lacks({"role": "replica"}, 5, "patroni-4")
    'it is no primary'
    """
    if told.get("role") not in ("primary", "master"):
        return "it is no primary"
    follow = [s for s in told.get("replication", ()) if s["state"] == "streaming" and s["sync_state"] in ("sync", "quorum")
              and s["application_name"] != me]
    wanted = min(2, members - 2)  # as many as a commit waits for, or all others where there are not so many
    return "" if len(follow) >= wanted else f"{len(follow)} of {wanted} standbys follow it"


def may_archive(postgres) -> bool:
    """Whether what a former leader left may go to the archive. The history of its timeline has to go first: with a number of which the
    archive has a history nobody begins another timeline. Where the archive has one already that this member did not bring
    there, the WAL of that number is another leader's, which could archive nothing over it."""
    wal = postgres.wal_dir
    name = f"{newest(wal):08X}.history"
    ready = os.path.join(wal, "archive_status", name + ".ready")
    if not os.path.exists(ready):
        return True
    fetched = os.path.join(wal, "HISTORY.fetched")
    try:
        if subprocess.run(["archive_get.sh", name, fetched], timeout=ARCHIVE).returncode != 1:  # 1: it is not there
            return False
        if subprocess.run(["pgbackrest_push.sh", os.path.join(wal, name)], timeout=ARCHIVE).returncode != 0:
            return False
        os.rename(ready, ready[:-len("ready")] + "done")
        return True
    except (OSError, subprocess.TimeoutExpired) as problem:
        logger.warning("the history of timeline %s cannot be archived: %s", newest(wal), problem)
        return False
    finally:
        if os.path.exists(fetched):
            os.remove(fetched)
