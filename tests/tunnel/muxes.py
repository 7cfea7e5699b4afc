"""Two muxes over one TCP connection on one loop, so that a test says when who gets to run."""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable
from typing import Any

from interceptor.tunnel.epoll import EpollPoller
from interceptor.tunnel.mux import SILENCE, Mux
from interceptor.tunnel.relay import Relay
from interceptor.wire.connection import Role
from interceptor.wire.limits import Limits
from interceptor.wire.reasons import Reason

SESSION = "orders-x7f2q"


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    """TCP, because only that resets; both non-blocking."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        one = socket.create_connection(server.getsockname())
        two, _ = server.accept()
    for sock in (one, two):
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return one, two


class End:
    """One mux's user: keeps what it is told."""

    def __init__(self, poller: EpollPoller, role: Role, limits: Limits, silence: float, session: str) -> None:
        self.mux = Mux(poller, role, session, self, limits=limits, silence=silence)
        self.greeted = False
        self.opened: list[tuple[Relay, dict[str, Any]]] = []
        self.messages: list[dict[str, Any]] = []
        self.ended: list[tuple[Reason, str]] = []
        self.shut = False
        self.on_opened: Callable[[Relay], None] = lambda _: None
        self.on_greeted: Callable[[], None] = lambda: None

    def mux_greeted(self) -> None:
        self.greeted = True
        self.on_greeted()

    def mux_opened(self, relay: Relay, target: dict[str, Any]) -> None:
        self.opened.append((relay, target))
        self.on_opened(relay)

    def mux_control(self, message: dict[str, Any]) -> None:
        self.messages.append(message)

    def mux_ended(self, reason: Reason, text: str) -> None:
        self.ended.append((reason, text))

    def mux_shut(self) -> None:
        self.shut = True


class Bench:
    """A loop, and sockets that are closed when the test ends."""

    def __init__(self) -> None:
        self.poller = EpollPoller()
        self._kept: list[socket.socket] = []
        self._ends: list[End] = []

    def close(self) -> None:
        for end in self._ends:
            end.mux.close(Reason.GONE)
        for sock in self._kept:
            sock.close()
        self.poller.close()

    def sockets(self) -> tuple[socket.socket, socket.socket]:
        pair = tcp_pair()
        self._kept += pair
        return pair

    def until(self, condition: Callable[[], object], seconds: float = 10.0) -> None:
        late: list[bool] = []
        timer = self.poller.call_later(seconds, lambda: late.append(True))
        while not condition():
            assert not late, "too late"
            self.poller.turn()
        timer.cancel()

    def idle(self) -> None:
        """Let everything that is under way arrive, in several passes at least: a stall may use up the time of a few."""
        for _ in range(10):
            late: list[bool] = []
            self.poller.call_later(0.003, functools.partial(late.append, True))
            while not late:
                self.poller.turn()

    def end(self, role: Role, sock: socket.socket, *, limits: Limits = Limits(), silence: float = SILENCE) -> End:  # noqa: B008
        end = End(self.poller, role, limits, silence, SESSION)
        self._ends.append(end)
        end.mux.start(sock, [])
        return end

    def tunnel(self, *, limits: Limits = Limits()) -> tuple[End, End]:  # noqa: B008  immutable
        """The client's end and the agent's, greeted."""
        one, two = self.sockets()
        client, agent = self.end(Role.CLIENT, one, limits=limits), self.end(Role.AGENT, two, limits=limits)
        self.until(lambda: client.greeted and agent.greeted)
        return client, agent

    def stream(self, client: End, agent: End) -> tuple[socket.socket, socket.socket, Relay, Relay]:
        """A stream of the agent's, both ends attached: the caller's socket, the called one's, and their relays."""
        relay = agent.mux.open({"port": 8080})
        before = len(client.opened)
        self.until(lambda: len(client.opened) > before)
        answering = client.opened[-1][0]
        near, near_inner = self.sockets()
        far, far_inner = self.sockets()
        relay.on_accepted = lambda accepted: accepted.attach(near_inner)
        client.mux.accept(answering, far_inner)
        self.until(lambda: relay.sock is not None)
        return near, far, relay, answering

    def read(self, sock: socket.socket, size: int) -> bytes:
        """`size` bytes, or less when the socket ends before."""
        data = b""
        ended: list[bool] = []

        def more() -> None:
            nonlocal data
            part = sock.recv(size - len(data))
            data += part
            if not part:
                ended.append(True)
                self.poller.readable(sock.fileno(), None)

        self.poller.readable(sock.fileno(), more)
        try:
            self.until(lambda: len(data) >= size or ended)
        finally:
            self.poller.readable(sock.fileno(), None)
        return data
