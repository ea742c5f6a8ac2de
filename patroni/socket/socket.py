#!/usr/bin/env python3
"""Joins stdin and stdout to PostgreSQL's socket, where the superuser logs in: for who comes into a member's container
by Nomad's exec (socket.go). It ends with the session."""
import os
import socket
import sys
import threading


def copy(read, write):
    """Copies until nothing more comes."""
    while data := read(1 << 16):
        write(data)


def main():
    """Copies both ways."""
    server = socket.socket(socket.AF_UNIX)
    server.connect(f"{os.environ['PGHOST']}/.s.PGSQL.{os.environ['PGPORT']}")
    os.write(1, b"\n")  # connected

    def send():
        copy(lambda most: os.read(0, most), server.sendall)
        server.shutdown(socket.SHUT_WR)  # who came in has gone

    threading.Thread(target=send, daemon=True).start()
    copy(server.recv, lambda data: sys.stdout.buffer.write(data) and sys.stdout.buffer.flush())


if __name__ == "__main__":
    try:
        main()
    except OSError as problem:
        sys.exit(str(problem))
