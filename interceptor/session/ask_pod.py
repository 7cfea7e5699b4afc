"""One HTTP GET to a port of a pod, through a port-forward of its own; `status` asks agents so, from outside the session."""

from __future__ import annotations

import asyncio

from interceptor.kube import Cluster, PortForwardFailed
from interceptor.tunnel.aio import AsyncioPoller
from interceptor.tunnel.link import Link

LARGEST = 64 * 1024  # bytes of an answer


async def ask_pod(
    cluster: Cluster, namespace: str, pod: str, port: int, path: str, *, within: float
) -> tuple[int, bytes]:
    """Status and body. Raises PortForwardFailed when nobody listens there or no whole answer comes in time."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(within):
            forward = await cluster.port_forward(namespace, pod, port)
            exchange = _Exchange(loop, f"GET {path} HTTP/1.1\r\nHost: {pod}\r\nConnection: close\r\n\r\n".encode())
            link = exchange.link = Link(AsyncioPoller(loop), forward.sock, forward.layers, exchange)
            try:
                link.start(forward.early)
                return await exchange.answer
            finally:
                link.close(flush=False)
    except TimeoutError as error:
        raise PortForwardFailed(f"pod {pod}: no answer on port {port} in {within:g} s") from error


class _Exchange:
    """A LinkUser: sends when the way stands, gathers until the answer is whole."""

    link: Link

    def __init__(self, loop: asyncio.AbstractEventLoop, request: bytes) -> None:
        self._request = request
        self._got = bytearray()
        self.answer: asyncio.Future[tuple[int, bytes]] = loop.create_future()

    def link_ready(self) -> None:
        """See LinkUser."""
        self.link.send(self._request)

    def link_received(self, data: memoryview) -> None:
        """See LinkUser."""
        self._got += data
        head, end, body = bytes(self._got).partition(b"\r\n\r\n")
        if len(self._got) > LARGEST:
            self._fail("the answer is too long")
        elif end and (length := _length(head)) is None:
            self._fail("the answer is no HTTP of the agent's")
        elif end and length is not None and len(body) >= length and not self.answer.done():
            self.answer.set_result((int(head.split(b" ", 2)[1]), body[:length]))

    def link_drained(self) -> None:
        """See LinkUser; a request fits any buffer."""

    def link_lost(self, text: str) -> None:
        """See LinkUser."""
        self._fail(text)

    def link_shut(self) -> None:
        """See LinkUser."""

    def _fail(self, text: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(PortForwardFailed(text))
            self.answer.exception()  # marked as heard: whoever asked may have stopped waiting


def _length(head: bytes) -> int | None:
    """The body's length; None where the head is not what our agents write."""
    first, *fields = head.split(b"\r\n")
    words = first.split(b" ", 2)
    if not (words[0].startswith(b"HTTP/1.") and len(words) > 1 and words[1].isdigit()):
        return None
    for field in fields:
        name, _, value = field.partition(b":")
        if name.lower() == b"content-length" and value.strip().isdigit():
            return int(value)
    return None
