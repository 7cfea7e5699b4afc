"""The way out for COMMAND: a SOCKS5 and HTTP proxy on one loopback port; `session` serves it, its tunnel dials.

A connection's first byte tells the protocol (5 is SOCKS). After the handshake the raw socket is handed to the
tunnel, which relays it: no byte of the conversation passes through here. The pure parts are `sandbox.socks5` and
`sandbox.http_connect`. What a handshake may cost is bounded: 64 KiB, 10 s to ask and 30 s to connect, and 512 of
them at a time. When all are taken, who has taken longest to ask makes room: somebody who connects and says nothing can't
keep COMMAND from its connections.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import NamedTuple, Protocol

from interceptor.sandbox import http_connect, socks5
from interceptor.sandbox.environment import ProxyAddress
from interceptor.sandbox.handshake import Handshake, HungUp
from interceptor.sandbox.ports import NO_MEANS, PAUSE
from interceptor.tunnel.errors import StreamRefused
from interceptor.wire.reasons import Reason

ASK_SECONDS = 10.0
DIAL_SECONDS = 30.0
MAX_HANDSHAKES = 512
_BACKLOG = 1024


class Outgoing(Protocol):
    """A stream that the pod has connected to its target."""

    def attach(self, sock: socket.socket, early: bytes) -> None:
        """Relay `early` and then the socket from now on, and close it in the end."""

    def abandon(self) -> None:
        """Give the stream up: nobody wants it any more."""


class Dialer(Protocol):
    """Whoever can connect from inside the pod."""

    async def dial(self, host: str, port: int) -> Outgoing:
        """Connect to a name or address as the pod would; raises StreamRefused. Cancelled, it leaves nothing."""


class _Wish(NamedTuple):
    """What one client asked for, and how to answer it in its own protocol."""

    host: str
    port: int
    success: bytes
    head: bytes
    refusal: Callable[[StreamRefused], bytes]


class _Refusal(Exception):
    """The client asked for what is not served; `answer` is the last it hears."""

    def __init__(self, answer: bytes) -> None:
        super().__init__(answer)
        self.answer = answer


class Proxy:
    """Listens as soon as it is made, so that its address can be told; serves while `serve` runs."""

    def __init__(self, dialer: Dialer, *, ask_seconds: float = ASK_SECONDS, dial_seconds: float = DIAL_SECONDS) -> None:
        self._dialer = dialer
        self._ask_seconds = ask_seconds
        self._dial_seconds = dial_seconds
        self._slots = asyncio.Semaphore(MAX_HANDSHAKES)
        self._asking: dict[asyncio.Task[None], None] = {}  # in the order in which they came
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG)
        self._listener.setblocking(False)
        self.address = ProxyAddress(*self._listener.getsockname())

    async def serve(self) -> None:
        """Serve until cancelled; then the listener and unfinished handshakes close, attached sockets are not ours."""
        with self._listener:
            async with asyncio.TaskGroup() as handshakes:
                while True:
                    client = await self._accept()
                    await self._acquire(client)
                    handshakes.create_task(self._handshake(client), name="proxy handshake")

    async def _acquire(self, client: socket.socket) -> None:
        """Wait for a slot; all taken, the oldest that has not asked yet gives its own."""
        try:
            if self._slots.locked():
                await asyncio.sleep(0)  # a task that is cancelled before it began would keep its slot
                if self._asking:
                    oldest = next(iter(self._asking))
                    del self._asking[oldest]
                    oldest.cancel()
            await self._slots.acquire()
        except BaseException:
            client.close()
            raise

    def close(self) -> None:
        """Stop listening, for the case that `serve` was never reached."""
        self._listener.close()

    async def _accept(self) -> socket.socket:
        """Wait for a client. Not `loop.sock_accept`: cancelled at the wrong moment, it loses an accepted socket."""
        while True:
            try:
                client, _ = self._listener.accept()
            except BlockingIOError:
                await self._until_readable()
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno not in NO_MEANS:
                    raise
                await asyncio.sleep(PAUSE)
            else:
                client.setblocking(False)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return client

    async def _until_readable(self) -> None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._listener, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self._listener)

    async def _handshake(self, client: socket.socket) -> None:
        """Serve one client until its socket is the tunnel's, or closed."""
        handshake, task = Handshake(client), asyncio.current_task()
        assert task is not None
        try:
            self._asking[task] = None  # until it has asked, it may have to make room
            wish = await self._ask(handshake)
            self._asking.pop(task, None)
            outgoing = await self._dial(wish)
            try:
                await handshake.say(wish.success)
            except BaseException:
                outgoing.abandon()
                raise
            outgoing.attach(handshake.hand_over(), wish.head + handshake.data)
        except _Refusal as refusal:
            await handshake.refuse(refusal.answer)
        except HungUp:
            pass  # the client's own affair, and it is gone
        finally:
            self._asking.pop(task, None)
            self._slots.release()
            handshake.close()

    async def _ask(self, handshake: Handshake) -> _Wish:
        """Find out what the client wants."""
        try:
            async with asyncio.timeout(self._ask_seconds):
                await handshake.read()
                if handshake.data[0] == socks5.VERSION:
                    return await _ask_socks(handshake)
                return await _ask_http(handshake)
        except TimeoutError:
            raise HungUp from None
        except socks5.Socks5Error as error:
            raise _Refusal(error.reply) from error
        except http_connect.BadRequest as error:
            raise _Refusal(http_connect.response(error.status, f"interceptor: {error}")) from error

    async def _dial(self, wish: _Wish) -> Outgoing:
        try:
            async with asyncio.timeout(self._dial_seconds):
                return await self._dialer.dial(wish.host, wish.port)
        except StreamRefused as error:
            raise _Refusal(wish.refusal(error)) from error
        except TimeoutError as error:
            late = StreamRefused(Reason.TIMEOUT, f"no answer from the pod within {self._dial_seconds:g} s")
            raise _Refusal(wish.refusal(late)) from error


async def _ask_socks(handshake: Handshake) -> _Wish:
    handshake.take(await handshake.read_until(socks5.greeting_length))
    await handshake.say(socks5.NO_AUTHENTICATION)
    (host, port), length = await handshake.read_until(socks5.parse_request)
    handshake.take(length)

    def refusal(error: StreamRefused) -> bytes:
        return socks5.reply(socks5.code_of(error.reason))

    return _Wish(host, port, socks5.reply(socks5.SUCCEEDED), b"", refusal)


async def _ask_http(handshake: Handshake) -> _Wish:
    length = await handshake.read_until(http_connect.head_length)
    request = http_connect.parse_head(handshake.take(length))

    def refusal(error: StreamRefused) -> bytes:
        text = f"interceptor: {request.host}:{request.port} from the pod: {error.text}"
        return http_connect.response(http_connect.status_of(error.reason), text)

    success = http_connect.ESTABLISHED if request.is_connect else b""
    return _Wish(request.host, request.port, success, request.head, refusal)
