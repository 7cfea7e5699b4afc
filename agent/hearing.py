"""One read of a socket that may have nothing to say yet; `health`, `app_probe` and `refusal` hear short texts by it."""

from __future__ import annotations

import socket


def hear(sock: socket.socket, most: int) -> bytes | None:
    """What has arrived, None as long as nothing has; empty at its end, and a connection that broke is at its end too."""
    try:
        return sock.recv(most)
    except (BlockingIOError, InterruptedError):
        return None
    except OSError:
        return b""
