#!/usr/bin/env python3
"""Runs Patroni with a heart that its fence can watch, and with two of its waits shortened. Neither
of these decides anything: each only puts off by a second or two that Patroni looks at what has
happened already, while writes wait."""
import os
import sys
import threading
import time

import patroni.postgresql
from patroni.__main__ import main
from patroni.dcs.consul import ConsulException, HTTPError, HTTPException
from patroni.ha import Ha

LOOK = 0.1  # seconds between two looks for a new leader

# A leader that stops PostgreSQL looks this often whether that is done, where Patroni takes a second. Not
# oftener still: when it finds PostgreSQL on its very last steps it gives the standbys a second more.
patroni.postgresql.STOP_POLLING_INTERVAL = 0.3

wait = Ha.watch


def watch(self, timeout):
    """Waits for the next round, as Patroni does, but without a leader only until there is one.

    Patroni follows the leader's key as long as it has a holder; otherwise it comes back after
    loop_wait, and until two standbys have come back to it a new leader cannot acknowledge a write.
    """
    if self._async_executor.busy or not self.cluster or not self.cluster.is_unlocked():
        return wait(self, timeout)
    end = time.time() + timeout
    while (left := end - time.time()) > 0:
        if self.dcs.watch(None, min(left, LOOK)) or led(self.dcs):
            return True
    return False


def led(consul) -> bool:
    """Whether the leader's key has a holder."""
    try:
        return consul._client.kv.get(consul.leader_path)[1] is not None
    except (ConsulException, HTTPError, HTTPException, OSError):
        return False


def beat(path):
    """Touches a file twice a second, for as long as the member does anything (fence/heart.go)."""
    while True:
        try:
            with open(path, "a"):
                os.utime(path)
        except OSError:
            pass  # a disk that fails is no heart that beats
        time.sleep(0.5)


Ha.watch = watch

if __name__ == "__main__":
    threading.Thread(target=beat, args=("/data/.alive",), daemon=True).start()
    sys.exit(main())
