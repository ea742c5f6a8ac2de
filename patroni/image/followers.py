"""What makes sure, before a member is promoted, that the leader before it can acknowledge nothing any more, wherever
it is and whatever it does: enough members follow the new leader. A standby receives from one server alone, so whoever
follows the new leader acknowledges nothing for the one before (README.md, "What other hosts can rely on")."""
import concurrent.futures
import json
import logging
import time
from urllib.parse import urlparse

from patroni import thread_pool
from patroni.dcs import RemoteMember

logger = logging.getLogger(__name__)

PATIENCE = 8  # seconds for the others to follow; then the key is given back, and they try
PAUSE = 0.05  # seconds between two looks
TIMEOUT = 1  # seconds for a member's answer

# In this order: what comes from another server between the two is counted, too.
UPSTREAM = "SELECT sender_host || ':' || sender_port FROM pg_catalog.pg_stat_wal_receiver"
RECEIVED = """SELECT (GREATEST(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
 OPERATOR(pg_catalog.-) '0/0')::bigint"""


def enough(quorum: int, members, last: str, me: str, followers) -> bool:
    """Whether the leader before can find nobody any more: it follows, too, or of the others, of whom it needs all but
    as many as the quorum, one more is lost to it. This member is, and so are its followers.

    Five members, where a commit waits for any two of the four (quorum 2): the leader before must have lost three.

    >>> five = {"patroni-0", "patroni-1", "patroni-2", "patroni-3", "patroni-4"}
    >>> enough(2, five, "patroni-0", "patroni-1", {"patroni-2"})
    False
    >>> enough(2, five, "patroni-0", "patroni-1", {"patroni-2", "patroni-4"})
    True
    >>> enough(2, five, "patroni-0", "patroni-1", {"patroni-0"})
    True

    Who is none of them adds nothing, be it this member or a follower.

    >>> enough(2, five, "patroni-0", "patroni-5", {"patroni-2", "patroni-4"})
    False
    >>> enough(2, five, "patroni-0", "patroni-1", {"patroni-2", "patroni-6"})
    False
    >>> enough(2, five, "patroni-0", "patroni-5", {"patroni-1", "patroni-2", "patroni-4"})
    True

    With one standby left, for which alone a commit waits (quorum 0), that one is enough.

    >>> enough(0, {"patroni-0", "patroni-1"}, "patroni-0", "patroni-1", set())
    True
    """
    return last in followers or len((set(followers) | {me}) & set(members) - {last}) > quorum


def has(query) -> dict:
    """What a member tells about itself: whom it has its WAL from (None: nobody), and how far it has it, in bytes."""
    upstream = query(UPSTREAM)
    return {"upstream": upstream[0][0] if upstream else None, "received": query(RECEIVED)[0][0]}


def ask(request, member) -> dict:
    """What another member tells; {} where it tells nothing."""
    try:
        answer = request(member, "GET", "upstream", timeout=TIMEOUT, retries=0)
        return json.loads(answer.data) if answer.status == 200 else {}
    except Exception as problem:  # whatever it is: the member does not say that it follows
        logger.info("%s does not tell whom it follows: %s", member.name, problem)
        return {}


def stopped(ha) -> bool:
    """Whether the leader before is known to have stopped. It gave the key away and has kept its session, or who holds
    the locks on its volume has left word of that session's end (release_session.py, fence/consul.go)."""
    last = ha.deposed
    if not last or not last.session:
        return False
    try:
        client, name = ha.dcs._client, ha.state_handler.scope + "-" + last.name
        _, sessions = client.session.list(consistency="consistent")
        if {s["ID"] for s in sessions if s["Name"] == name} == {last.session}:
            return True
        _, key = client.kv.get(ha.dcs.client_path("ended/" + last.name), consistency="consistent")
        return bool(key and key["Value"]) and last.session in key["Value"].decode().split()
    except Exception as problem:  # nothing is known then
        logger.warning("Consul does not tell how the leader before ended: %s", problem)
        return False


def secured(ha) -> bool:
    """Waits until this member, which has the key, may be promoted. False: it must not be."""
    sync, me = ha.cluster.sync, ha.state_handler.name
    last = ha.deposed.name if ha.deposed else sync.leader
    if not ha.quorum_commit_mode_is_active() or last == me or stopped(ha):
        return True
    try:
        return await_followers(ha, sync, last, me)
    except Exception:  # with one Patroni would try again and again, and keep the key
        logger.exception("whether others follow is not known")
        return False


def await_followers(ha, sync, last: str, me: str) -> bool:
    """Asks the others until enough follow.

    >>> from types import SimpleNamespace as Fake
    >>> thread_pool.configure_global_pool(4)
    >>> def member(n): return Fake(name=f"patroni-{n}", api_url="http")
    >>> def promoted(**told):
    ...     def request(m, *_, **__): return Fake(status=200, data=json.dumps(told[m.name[-1:]].pop(0)))
    ...     ha = Fake(dcs=Fake(failsafe=None), patroni=Fake(request=request), old_cluster=Fake(members=[member(n) for n in range(5)]),
    ...               cluster=Fake(members=[]), _async_response=Fake(is_cancelled=False),
    ...               state_handler=Fake(query=lambda _: [[7]], connection_string="postgres://h1:1/postgres"))
    ...     sync = Fake(quorum=2, members=[f"patroni-{n}" for n in range(5)])
    ...     return await_followers(ha, sync, "patroni-0", "patroni-1")
    >>> before, here, ahead = ({"upstream": u, "received": r} for u, r in (("h0:1", 7), ("h1:1", 7), ("h1:1", 8)))
    >>> promoted(**{"2": [before, here], "3": [before, before, here], "4": [], "0": []})
    True
    >>> promoted(**{"2": [here], "3": [before, ahead], "4": [], "0": []})
    False
    """
    others = [m for m in members(ha) if m.name in sync.members and m.name != me]
    here = urlparse(ha.state_handler.connection_string).netloc
    asked, followers, end = {}, set(), time.monotonic() + PATIENCE
    while not enough(sync.quorum, sync.members, last, me, followers):
        if time.monotonic() > end or ha._async_response.is_cancelled:
            logger.warning("only %s follow: %s might find enough others", sorted(followers), last)
            return False
        for m in others:
            if m.name not in followers and m.name not in asked:
                asked[m.name] = thread_pool.get_executor().submit(ask, ha.patroni.request, m)
        concurrent.futures.wait(asked.values(), PAUSE, concurrent.futures.FIRST_COMPLETED)
        for name in [name for name, answer in asked.items() if answer.done()]:
            told = asked.pop(name).result()
            if told.get("upstream") != here:
                continue
            if told["received"] > has(ha.state_handler.query)["received"]:
                logger.warning("%s has more than this member", name)
                return False
            followers.add(name)
        time.sleep(PAUSE)
    logger.info("%s follow: %s can acknowledge nothing", sorted(followers), last)
    return True


def members(ha) -> list:
    """All that are known: the keys of those on a host that is down are gone."""
    known = {name: RemoteMember(name, {"api_url": url}) for name, url in (ha.dcs.failsafe or {}).items()}
    known.update({m.name: m for m in ha.old_cluster.members + ha.cluster.members if m.api_url})
    return list(known.values())
