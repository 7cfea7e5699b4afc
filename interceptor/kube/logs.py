"""Follows what a container writes, line by line with the node's own stamps; for `client`.

A stream ends with its container, with a rotated file, with a kubelet that restarts, or because nothing came for a while:
whoever follows calls again with the last stamp. The API counts from whole seconds on, so what was seen comes again and is
left out here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from interceptor.kube.errors import Call
from interceptor.kube.resources import PODS
from interceptor.kube.transport import Request, Transport

SILENCE = 300.0  # a connection that died silently is noticed then
LONGEST = 64 * 1024  # of a line; what is longer comes in pieces


@dataclass(frozen=True)
class LogLine:
    """`stamp` is RFC 3339 with nanoseconds: they sort as text. `text` has no line end."""

    stamp: str
    text: str


async def follow_logs(
    transport: Transport, namespace: str, pod: str, container: str, *, since: str = "", seconds: int = 1
) -> AsyncGenerator[LogLine, None]:
    """See `Cluster.follow_logs`. Raises ApiError and Unreachable; the latter after a silence too."""
    params = {"container": container, "follow": "true", "timestamps": "true"}
    params |= {"sinceTime": since} if since else {"sinceSeconds": str(max(1, seconds))}
    call = Call("get", PODS, namespace, pod, "log")
    request = Request("GET", PODS.path(namespace, pod, "log"), call, params, accept="*/*")
    async with transport.open(request, silence=SILENCE) as response:
        held = b""
        async for chunk in response.content.iter_any():
            *whole, held = (held + chunk).split(b"\n")
            if len(held) > LONGEST:
                whole, held = [*whole, held], b""
            for line in map(_line, whole):
                if not line.stamp or line.stamp > since:
                    yield line
        if held:
            yield _line(held)


def _line(data: bytes) -> LogLine:
    """A piece of a long line has no stamp."""
    stamp, space, text = data.decode(errors="replace").partition(" ")
    if space and stamp[:4].isdigit() and stamp[4:5] == "-" and "T" in stamp:
        return LogLine(stamp, text)
    return LogLine("", data.decode(errors="replace"))
