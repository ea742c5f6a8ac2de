#!/usr/bin/env python3
"""Has another member lead before this one stops; does nothing where this one does not lead, or where all others stop, too.

Whom it asks for makes an update of all members, which goes by their numbers, cheap: one with a
lower number has been updated already and will not stop soon. So each update has one switchover,
or two when it begins with the leader.
"""
import base64
import http.client
import json
import os
import sys

import yaml

import mesh

REST = os.environ["PATRONI_RESTAPI_CONNECT_ADDRESS"]
FENCE = os.environ["NOMAD_ADDR_status"]
CONFIG = os.environ.get("PATRONI_CONFIG", "/secrets/patroni")
LOOK = 2  # seconds to learn who is there
MOST = 8  # seconds for the switchover; Nomad's kill_timeout lies above both and Patroni's own stop


def number(name: str) -> int:
    """The number in a member's name: patroni-3."""
    return int(name.rpartition("-")[2])


def staying(members: list) -> list:
    """Those of the members that Nomad means to keep running, as the fence tells; all where it does not."""
    fence = http.client.HTTPConnection(FENCE, timeout=LOOK)
    try:
        fence.request("GET", "/staying")
        answer = fence.getresponse()
        if answer.status != 200:
            raise ValueError(answer.status)
        stay = json.load(answer)
        return [m for m in members if m["name"] in stay]
    except (OSError, http.client.HTTPException, ValueError) as problem:
        print(f"hand_over: nobody tells which members stay: {problem}", file=sys.stderr)
        return members
    finally:
        fence.close()


def candidate(members: list, me: str):
    """The name of the member that should lead, or None.

    >>> def standby(n, state="streaming", role="quorum_standby"):
    ...     return {"name": f"patroni-{n}", "role": role, "state": state}
    >>> candidate([standby(n) for n in (0, 1, 3, 4)], "patroni-2")
    'patroni-1'
    >>> candidate([standby(n) for n in (1, 2, 3, 10)], "patroni-0")
    'patroni-10'
    >>> candidate([standby(0), standby(1, "starting"), standby(2, role="replica")], "patroni-3")
    'patroni-0'
    >>> candidate([standby(1, "stopped")], "patroni-0")
    """
    ready = [m["name"] for m in members
             if m["role"] in ("quorum_standby", "sync_standby") and m["state"] == "streaming"]
    # The next lower number, and below the lowest the highest.
    return max(ready, key=lambda name: (number(name) < number(me), number(name)), default=None)


def authorization() -> str:
    """The header that Patroni wants from whom it shall obey."""
    with open(CONFIG + "/patroni.yml", encoding="utf-8") as shared:
        user = yaml.safe_load(shared)["restapi"]["authentication"]["username"]
    with open(CONFIG + "/passwords.yml", encoding="utf-8") as own:
        password = yaml.safe_load(own)["restapi"]["authentication"]["password"]
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def call(patience: float, *request) -> bytes:
    """Sends this member's Patroni a request and returns its answer."""
    rest = http.client.HTTPSConnection(REST, timeout=patience, context=mesh.context())
    try:
        rest.connect()
        mesh.require_member(rest.sock)
        rest.request(*request)
        answer = rest.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise ValueError(f"{answer.status} {text.decode()}")
        return text
    finally:
        rest.close()


def main() -> int:
    """Returns 0 when another member leads."""
    me = os.environ["PATRONI_NAME"]
    try:
        members = json.loads(call(LOOK, "GET", "/cluster"))["members"]
        if not any(m["name"] == me and m["role"] == "leader" for m in members):
            return 0
        successor = candidate(staying(members), me)
        if successor is None:
            print("hand_over: no standby that stays has everything", file=sys.stderr)
            return 1
        print(f"hand_over: {successor} is to lead", flush=True)
        call(MOST, "POST", "/switchover", json.dumps({"leader": me, "candidate": successor}),
             {"Authorization": authorization(), "Content-Type": "application/json"})
    except (OSError, http.client.HTTPException, KeyError, ValueError, yaml.YAMLError) as problem:
        print(f"hand_over: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
