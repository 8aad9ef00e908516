"""Sends one command as ``redis-cli -u URL COMMAND …`` does and prints the reply, where no redis-cli is installed."""

from __future__ import annotations

import socket
import sys
from urllib.parse import urlsplit


def main() -> None:
    """Send the command and print its reply."""
    option, url, *words = sys.argv[1:]
    assert option == "-u"
    server = urlsplit(url)
    command = b"*%d\r\n" % len(words)
    for word in map(str.encode, words):
        command += b"$%d\r\n%s\r\n" % (len(word), word)
    with socket.create_connection((server.hostname, server.port)) as connection:
        connection.sendall(command)
        with connection.makefile("rb") as replies:
            line = replies.readline().strip()
            size = int(line[1:])
            value = replies.read(max(size, 0)) if line.startswith(b"$") else b"%d" % size
    sys.stdout.buffer.write(value + b"\n")


if __name__ == "__main__":
    main()
