"""The developer's side of the agent: accepts tunnels, keeps the newest, carries out what the client asks for.

Called by `listener` on the tunnel port. A connection must finish its TLS handshake with a certificate of this session's
authority and greet within ten seconds; only then does it count. A later tunnel of the same session replaces an earlier
one: the client came back before we noticed that it had gone.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agent.config import Config
from agent.environment import environment
from agent.inbound import Inbound
from agent.journal import say
from agent.network import network
from agent.outbound import Outbound
from agent.probe import Probe
from interceptor.tunnel.mux import Mux
from interceptor.tunnel.poller import Poller
from interceptor.tunnel.relay import Relay
from interceptor.wire.connection import Role
from interceptor.wire.errors import LocalProtocolError
from interceptor.wire.reasons import Reason
from interceptor.wire.tls import TlsLayer

if TYPE_CHECKING:
    from agent.files import Files

MOST_STRANGERS = 16  # connections that have not greeted yet: a slow-loris holds these for a while, not us


def server_context(config: Config) -> ssl.SSLContext:
    """TLS 1.3, this session's agent certificate, and nobody without one of the same authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    context.load_cert_chain(config.folder / "tls.crt", config.folder / "tls.key")
    context.load_verify_locations(config.folder / "ca.crt")
    return context


class Tunnels:
    """At most one live tunnel, and who is about to become it."""

    def __init__(
        self,
        poller: Poller,
        config: Config,
        inbound: Inbound,
        outbound: Outbound,
        on_change: Callable[[bool, Reason], None],
    ) -> None:
        self._poller = poller
        self._config = config
        self._inbound = inbound
        self._outbound = outbound
        self._files: Files | None = None
        self._on_change = on_change  # (is up, why it ended)
        self._context = server_context(config)
        self._strangers: dict[_Tunnel, None] = {}  # in the order in which they came
        self._live: _Tunnel | None = None
        self._told: set[Reason] = set()  # why strangers were refused, as far as it was said
        self.on_armed: Callable[[], None] = lambda: None
        self.armed = False  # the client said that callers may come
        self._lost: tuple[str, str] = ("never", "no client has connected yet")  # why the last tunnel ended
        self._since = poller.now()  # when the tunnel came, or ended

    def arrived(self, sock: socket.socket, _: tuple[str, int]) -> None:
        """Somebody connected to the tunnel port."""
        if len(self._strangers) >= MOST_STRANGERS:  # the oldest makes room: the next may be the client
            next(iter(self._strangers)).mux.close(Reason.GONE, "too many connections that do not greet")
        tunnel = _Tunnel(self)
        self._strangers[tunnel] = None
        tunnel.mux = Mux(self._poller, Role.AGENT, self._config.session, tunnel)
        tunnel.mux.start(sock, [TlsLayer(self._context, server_side=True, server_hostname=None)])

    def close(self, then: Callable[[], None]) -> None:
        """End in order, as this pod is going; `then` is called when the client has been told."""
        if self._live is None:
            then()
        else:
            self._live.then = then
            self._live.mux.close(Reason.GOODBYE, "the pod ends")

    def tell(self, message: dict[str, Any]) -> None:
        """Send a message to the client, if there is one."""
        if self._live is not None:
            self._live.mux.control(message)

    def state(self) -> dict[str, Any]:
        """The tunnel as `interceptor status` tells it."""
        seconds = round(self._poller.now() - self._since, 1)
        if self._live is None:
            return {"up": False, "seconds": seconds, "reason": self._lost[0], "text": self._lost[1]}
        mux = self._live.mux
        trip = round(mux.round_trip * 1000, 1)
        return {"up": True, "seconds": seconds, "text": "", "round_trip_ms": trip, "streams": len(mux.relays)}

    # --- for the tunnels ---------------------------------------------------------------------------------------

    def greeted(self, tunnel: _Tunnel) -> None:
        """A tunnel is up: it is the one from now on."""
        self._strangers.pop(tunnel, None)
        before, self._live = self._live, tunnel
        self._since = self._poller.now()
        if before is not None:
            before.mux.close(Reason.REPLACED, "a newer tunnel took over")
        say("the developer's machine is connected")
        self._on_change(True, Reason.GOODBYE)
        self._inbound.tunnel_up(tunnel.mux)

    def ended(self, tunnel: _Tunnel, reason: Reason, text: str) -> None:
        """A tunnel is over."""
        stranger = tunnel in self._strangers
        self._strangers.pop(tunnel, None)
        if self._live is tunnel:
            self._live = None
            self._since, self._lost = self._poller.now(), (reason.name.lower(), text or reason.name.lower())
            say(f"the developer's machine is gone: {text or reason.name}")
            self._inbound.tunnel_down(text)
            self._on_change(False, reason)
        elif stranger and reason not in self._told:
            self._told.add(reason)  # once: whoever knocks a thousand times may not fill the node's disk
            say(f"a connection to the tunnel port was refused: {text}; more of this kind are refused without a word")

    def asked(self, tunnel: _Tunnel, message: dict[str, Any]) -> None:
        """Do what a control message says; unknown ones are answered as such."""
        action, number = message.get("do"), message.get("id")
        if action == "arm":
            self.armed = True
            self.on_armed()
            tunnel.mux.control({"reply": number})
        elif action == "environment":
            tunnel.reply(number, {"environ": environment()})
        elif action == "network":
            tunnel.reply(number, network())
        elif action == "probe":
            Probe(self._poller, self._config, self._inbound, lambda result: tunnel.reply(number, result)).start()
        elif action == "pause":
            self._inbound.pause(str(message.get("why", "the local process has ended")))
            tunnel.mux.control({"reply": number})
        elif action == "handover":
            self._inbound.hand_over([str(pod) for pod in message.get("pods") or []])
            tunnel.mux.control({"reply": number})
        else:
            tunnel.mux.control({"reply": number, "error": f"this agent can't do {action!r}"})

    def connect(self, tunnel: _Tunnel, relay: Relay, target: dict[str, Any]) -> None:
        """The local process asks for a connection, or for the container's files."""
        if "files" in target:
            if self._files is None:
                from agent.files import Files  # noqa: PLC0415  not every session wants files, and a start counts

                self._files = Files(self._config.folder)
            self._files.open(tunnel.mux, relay, target)
        else:
            self._outbound.connect(tunnel.mux, relay, target)


class _Tunnel:
    """One mux's user."""

    mux: Mux

    def __init__(self, tunnels: Tunnels) -> None:
        self._tunnels = tunnels
        self._over = False
        self.then: Callable[[], None] = _nothing

    def reply(self, number: object, result: dict[str, Any]) -> None:
        """Answer a question later, if its tunnel still lives."""
        if not self._over:
            try:
                self.mux.control({"reply": number, **result})
            except LocalProtocolError as error:
                self.mux.control({"reply": number, "error": str(error)})

    def mux_greeted(self) -> None:
        """See MuxUser."""
        self._tunnels.greeted(self)

    def mux_opened(self, relay: Relay, target: dict[str, Any]) -> None:
        """See MuxUser."""
        self._tunnels.connect(self, relay, target)

    def mux_control(self, message: dict[str, Any]) -> None:
        """See MuxUser."""
        self._tunnels.asked(self, message)

    def mux_ended(self, reason: Reason, text: str) -> None:
        """See MuxUser."""
        self._over = True
        self._tunnels.ended(self, reason, text)

    def mux_shut(self) -> None:
        """See MuxUser."""
        self.then()


def _nothing() -> None:
    """Nobody waits for the end."""
