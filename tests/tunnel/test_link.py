"""One socket and its layers: bytes in dribs, alerts that say why, ends that are heard."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from interceptor.tunnel.epoll import EpollPoller
from interceptor.tunnel.link import FULL, Link
from interceptor.wire.layer import Layer
from interceptor.wire.tls import TlsLayer
from tests.certificates import Authority

OURS, THEIRS = Authority("ours"), Authority("theirs")


class User:
    """Keeps what a link tells it."""

    def __init__(self) -> None:
        self.heard = b""
        self.told: list[str] = []
        self.link: Link | None = None

    def link_ready(self) -> None:
        self.told.append("ready")

    def link_received(self, data: memoryview) -> None:
        self.heard += data

    def link_drained(self) -> None:
        self.told.append("drained")

    def link_lost(self, text: str) -> None:
        self.told.append(f"lost: {text}")

    def link_shut(self) -> None:
        self.told.append("shut")


class Bench:
    """Links on one loop."""

    def __init__(self, poller: EpollPoller) -> None:
        self.poller = poller

    def link(self, sock: socket.socket, layers: Sequence[Layer] = (), user: User | None = None) -> User:
        user = user or User()
        sock.setblocking(False)
        user.link = Link(self.poller, sock, layers, user)
        user.link.start()
        return user

    def until(self, condition: Callable[[], object], seconds: float = 10.0) -> None:
        late: list[bool] = []
        timer = self.poller.call_later(seconds, lambda: late.append(True))
        while not condition():
            assert not late, "too late"
            self.poller.turn()
        timer.cancel()


@pytest.fixture
def bench() -> Iterator[Bench]:
    poller = EpollPoller()
    yield Bench(poller)
    poller.close()


@pytest.fixture
def sockets() -> Iterator[tuple[socket.socket, socket.socket]]:
    """TCP, because only that resets."""
    server = socket.create_server(("127.0.0.1", 0))
    one = socket.create_connection(server.getsockname())
    two, _ = server.accept()
    server.close()
    yield one, two
    one.close()
    two.close()


def server_layer(folder: Path, *, trusts: Authority = OURS) -> TlsLayer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    context.load_cert_chain(*OURS.leaf("agent", "agent.test").write(folder, "server"))
    context.load_verify_locations(cadata=trusts.certificate.decode())
    return TlsLayer(context, server_side=True)


def client_layer(folder: Path, *, shows: Authority | None = OURS, trusts: Authority = OURS) -> TlsLayer:
    context = trusts.client_context()
    if shows is not None:
        context.load_cert_chain(*shows.leaf("client").write(folder, "client"))
    return TlsLayer(context, server_side=False, server_hostname="agent.test")


Sockets = tuple[socket.socket, socket.socket]


def test_words_pass_through_tls(bench: Bench, sockets: Sockets, tmp_path: Path) -> None:
    client, server = bench.link(sockets[0], [client_layer(tmp_path)]), bench.link(sockets[1], [server_layer(tmp_path)])
    bench.until(lambda: client.told and server.told)
    assert client.link is not None
    assert server.link is not None
    client.link.send(b"question")
    server.link.send(b"answer")
    bench.until(lambda: client.heard and server.heard)
    assert (client.heard, server.heard) == (b"answer", b"question")
    client.link.close()
    bench.until(lambda: "shut" in client.told and "shut" in server.told)
    assert server.told == ["ready", "lost: TLS closed by the peer", "shut"]
    assert client.told == ["ready", "shut"]


class OneByte(socket.socket):
    """A socket that takes and gives one byte at a time."""

    def send(self, data: Any, flags: int = 0) -> int:
        return super().send(memoryview(data)[:1])

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        return super().recv_into(buffer, 1)


def test_one_byte_at_a_time(bench: Bench, sockets: Sockets, tmp_path: Path) -> None:
    slow = OneByte(fileno=sockets[0].detach())
    client, server = bench.link(slow, [client_layer(tmp_path)]), bench.link(sockets[1], [server_layer(tmp_path)])
    bench.until(lambda: client.told and server.told)
    assert client.link is not None
    client.link.send(b"x" * 3000)
    bench.until(lambda: len(server.heard) == 3000)
    client.link.close(flush=False)


def test_full_link_drains(bench: Bench, sockets: Sockets) -> None:
    user = bench.link(sockets[0])
    assert user.link is not None
    content = b"0123456789abcdef" * 65_536
    sent = 0
    while not user.link.full:
        user.link.send(content)
        sent += len(content)
    assert user.link.backlog > FULL
    reader = bench.link(sockets[1])
    bench.until(lambda: "drained" in user.told and len(reader.heard) == sent, 30)
    assert user.link.backlog == 0
    assert reader.heard == content * (sent // len(content))
    user.link.close(flush=False)


def test_caller_may_reuse_its_buffer(bench: Bench, sockets: Sockets) -> None:
    """What the socket did not take is a copy."""
    user = bench.link(sockets[0])
    assert user.link is not None
    buffer = bytearray(b"a" * 1_000_000)
    sent = 0
    while not user.link.backlog:
        user.link.send(buffer)
        sent += len(buffer)
    buffer[:] = b"b" * len(buffer)
    reader = bench.link(sockets[1])
    bench.until(lambda: len(reader.heard) == sent, 30)
    assert reader.heard.count(b"b") == 0
    user.link.close(flush=False)


def test_early_bytes_pass_unready_layers(bench: Bench, sockets: Sockets, tmp_path: Path) -> None:
    """Whoever opened the socket read too far: what it read goes through those layers that it had not seen."""
    client = client_layer(tmp_path)
    hello = client.pending()
    user = User()
    sockets[1].setblocking(False)
    user.link = Link(bench.poller, sockets[1], [server_layer(tmp_path)], user)
    user.link.start(early=hello)
    other = bench.link(sockets[0], [client])
    bench.until(lambda: user.told and other.told)
    assert (user.told, other.told) == (["ready"], ["ready"])
    user.link.close(flush=False)


def test_early_bytes_of_bare_link(bench: Bench, sockets: Sockets) -> None:
    user = User()
    Link(bench.poller, sockets[0], [], user).start(early=b"already here")
    assert user.heard == b"already here"


@pytest.mark.parametrize(
    ("shows", "client_trusts", "server_trusts", "client_told", "server_told"),
    [
        (
            OURS,
            THEIRS,
            OURS,
            "certificate verify failed: self-signed certificate",
            "TLS alert from the peer: unknown ca",
        ),
        (THEIRS, OURS, OURS, "TLS alert from the peer: ", "certificate verify failed"),
        (None, OURS, OURS, "TLS alert from the peer: ", "peer did not return a certificate"),
    ],
    ids=["agent of another session", "client of another session", "no client certificate"],
)
def test_refused_handshake_tells_both(
    bench: Bench,
    sockets: Sockets,
    tmp_path: Path,
    shows: Authority | None,
    client_trusts: Authority,
    server_trusts: Authority,
    client_told: str,
    server_told: str,
) -> None:
    client = bench.link(sockets[0], [client_layer(tmp_path, shows=shows, trusts=client_trusts)])
    server = bench.link(sockets[1], [server_layer(tmp_path, trusts=server_trusts)])
    bench.until(lambda: "shut" in client.told and "shut" in server.told)
    assert f"lost: {client_told}" in client.told[-2]
    assert server_told in server.told[-2]
    assert "ready" not in server.told


def test_words_into_a_refusal(bench: Bench, sockets: Sockets, tmp_path: Path) -> None:
    """In TLS 1.3 a client learns of its refusal after it has begun to speak: the alert still tells it why."""
    client = bench.link(sockets[0], [client_layer(tmp_path, shows=THEIRS)])
    server = bench.link(sockets[1], [server_layer(tmp_path)])
    bench.until(lambda: client.told)
    assert client.link is not None
    while "shut" not in server.told:
        client.link.send(b"HELLO" * 100)
        bench.poller.turn()
    for _ in range(50):
        client.link.send(b"HELLO" * 100)
    bench.until(lambda: len(client.told) > 1)
    assert client.told[1].startswith("lost: TLS alert from the peer: ")


@pytest.mark.parametrize(
    "garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 70_000, b"SSH-2.0-x\r\n"]
)
def test_garbage_is_refused(bench: Bench, sockets: Sockets, tmp_path: Path, garbage: bytes) -> None:
    server = bench.link(sockets[1], [server_layer(tmp_path)])
    sockets[0].sendall(garbage)
    sockets[0].shutdown(socket.SHUT_WR)
    bench.until(lambda: "shut" in server.told)
    assert server.told[0].startswith("lost: ")
    assert server.heard == b""


def test_end_and_reset_are_lost(bench: Bench, sockets: Sockets) -> None:
    user = bench.link(sockets[0])
    sockets[1].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sockets[1].close()
    bench.until(lambda: "shut" in user.told)
    assert user.told[1] == "lost: the connection broke (Connection reset by peer)"


def test_last_words_are_heard(bench: Bench, sockets: Sockets) -> None:
    """Closing while the peer talks would reset our last words away."""
    user = bench.link(sockets[0])
    assert user.link is not None
    sockets[1].sendall(b"unread" * 1000)
    user.link.send(b"goodbye")
    user.link.close()
    sockets[1].settimeout(20)
    assert sockets[1].recv(100) == b"goodbye"
    bench.poller.turn()
    assert sockets[1].recv(100) == b""
    sockets[1].sendall(b"still talking")
    sockets[1].close()
    bench.until(lambda: "shut" in user.told)
    assert user.told == ["ready", "shut"]
    assert user.heard == b""


def test_close_waits_a_second_at_most(bench: Bench, sockets: Sockets) -> None:
    user = bench.link(sockets[0])
    assert user.link is not None
    while not user.link.full:
        user.link.send(bytes(1 << 20))
    began = bench.poller.now()
    user.link.close()
    bench.until(lambda: "shut" in user.told)
    assert bench.poller.now() - began > 0.9


def test_users_errors_are_its_own(bench: Bench, sockets: Sockets) -> None:
    """An OSError of the one who is served is no broken link."""

    class Failing(User):
        def link_received(self, data: memoryview) -> None:
            raise OSError(24, "Too many open files")

    user = bench.link(sockets[0], user=Failing())
    sockets[1].sendall(b"x")
    with pytest.raises(OSError, match="Too many open files"):
        bench.until(lambda: False)
    assert user.told == ["ready"]
