#!/usr/bin/env python3
"""Finds the backup and the timeline that lead to a point in time.

usage: pgbackrest info --output=json | choose_backup.py TIME RESTORES

TIME is in seconds since 1970. RESTORES is a file with a line for each restore that was made:
when it was made, the point in time it went back to (both in seconds since 1970), and the
timeline that ended with it. Prints the backup's label and the timeline.

pgBackRest's own choice is the last backup before the point in time, and PostgreSQL's the newest
timeline. Both are wrong once a restore was made: what stood between its point in time and itself
is on a timeline of its own.
"""
import json
import os
import sys
from datetime import datetime, timezone


def utc(seconds: float) -> str:
    """A time as people write it."""
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")


def restores_in(path: str) -> list:
    """The restores, oldest first, as (made, back to, timeline that ended)."""
    if not os.path.exists(path):
        return []
    with open(path, encoding="utf-8") as lines:
        return sorted((float(made), float(to), int(ended)) for made, to, ended in (line.split() for line in lines))


def leads_to(backup: dict, time: float, restores: list) -> bool:
    """Whether the backup was whole before that time, and none of the restores before it undid it."""
    begun, whole = backup["timestamp"]["start"], backup["timestamp"]["stop"]
    undone = any(made <= time and whole > to and begun < made for made, to, _ in restores)
    return whole <= time and not undone and not backup.get("error")


def main() -> int:
    """Chooses, or says why it cannot."""
    time, restores = float(sys.argv[1]), restores_in(sys.argv[2])
    backups = [b for stanza in json.load(sys.stdin) for b in stanza["backup"]]
    fit = [b for b in backups if leads_to(b, time, restores)]
    if not fit:
        known = ", ".join(utc(b["timestamp"]["stop"]) for b in backups) or "none"
        print(f"restore: no backup leads to {utc(time)}: the backups are of {known}", file=sys.stderr)
        return 1
    newest = max(fit, key=lambda b: b["timestamp"]["stop"])
    timeline = next((str(ended) for made, _, ended in restores if made > time), "latest")
    print(newest["label"], timeline)
    return 0


if __name__ == "__main__":
    sys.exit(main())
