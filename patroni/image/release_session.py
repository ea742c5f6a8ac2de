#!/usr/bin/env python3
"""Ends the Consul sessions that an earlier life of this member left behind.

Only to be called with the lock on the data directory held: then the process that owned
such a session is certainly dead, and a replica may take over now instead of when the
session times out (10 to 20 s), and without asking who follows it (followers.py): for that
it leaves word of the sessions.
"""
import json
import os
import ssl
import sys
import urllib.request

CONSUL = os.environ["CONSUL_HTTP_ADDR"]
TIMEOUT = 2  # seconds for each of the few calls: a silent Consul must not hold up the start


def call(method: str, path: str, body: str = ""):
    """One call to Consul's HTTP API, its answer decoded."""
    headers = {"X-Consul-Token": os.environ["CONSUL_HTTP_TOKEN"]}
    request = urllib.request.Request(CONSUL + path, body.encode() or None, headers, method=method)
    verified = ssl.create_default_context(cafile=os.environ["CONSUL_CACERT"])
    with urllib.request.urlopen(request, timeout=TIMEOUT, context=verified) as answer:
        return json.load(answer)


def main() -> int:
    """Ends every session that bears this member's name."""
    scope, member = os.environ["PATRONI_SCOPE"], os.environ["PATRONI_NAME"]
    name = scope + "-" + member
    try:
        stale = [s["ID"] for s in call("GET", "/v1/session/list?consistent") if s["Name"] == name]
        if stale:
            call("PUT", f"/v1/kv/service/{scope}/ended/{member}", " ".join(stale))
        for session in stale:
            call("PUT", "/v1/session/destroy/" + session)
            print(f"release_session: ended {session} of {name}", flush=True)
    except OSError as problem:
        print(f"release_session: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
