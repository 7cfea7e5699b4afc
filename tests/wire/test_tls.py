"""Two TLS layers back to back: whatever way the bytes are cut, the same words come out."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from interceptor.wire.layer import LayerClosed, LayerError
from interceptor.wire.tls import CAPACITY, TlsLayer
from tests.certificates import Authority

AUTHORITY = Authority()
LEAF = AUTHORITY.leaf("agent", "agent.test")


@pytest.fixture(scope="module")
def server_context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return AUTHORITY.server_context(LEAF, tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def client_context() -> ssl.SSLContext:
    return AUTHORITY.client_context()


class Pair:
    """A client and a server, and the words each has heard; `carry` moves bytes in pieces of the given sizes."""

    def __init__(self, client: ssl.SSLContext, server: ssl.SSLContext, hostname: str = "agent.test") -> None:
        self.client = TlsLayer(client, server_side=False, server_hostname=hostname)
        self.server = TlsLayer(server, server_side=True)
        self.heard: dict[TlsLayer, bytes] = {self.client: b"", self.server: b""}

    def carry(self, data: bytes, to: TlsLayer, cut: int | None = None) -> None:
        pieces = [data] if cut is None else [data[:cut], data[cut:]]
        for piece in pieces:
            if piece:
                self.heard[to] += to.receive(memoryview(piece))

    def settle(self) -> None:
        """Carry what both have pending until neither has."""
        while (up := self.client.pending()) or (down := self.server.pending()):
            if up:
                self.carry(up, self.server)
                down = self.server.pending()
            self.carry(down, self.client)


@pytest.fixture
def pair(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> Pair:
    pair = Pair(client_context, server_context)
    pair.settle()
    return pair


def test_words_pass_both_ways(pair: Pair) -> None:
    pair.carry(bytes(pair.client.send(b"question")), pair.server)
    pair.carry(bytes(pair.server.send(memoryview(b"answer"))), pair.client)
    assert pair.heard == {pair.server: b"question", pair.client: b"answer"}


def test_large_writes_come_whole(pair: Pair) -> None:
    words = bytes(range(256)) * (3 * CAPACITY // 256)  # more than the buffer, so it grows
    assert bytes(pair.server.receive(memoryview(pair.client.send(words)))) == words
    assert bytes(pair.server.receive(memoryview(pair.client.send(b"after")))) == b"after"


def test_nothing_is_sent_before_ready(client_context: ssl.SSLContext) -> None:
    client = TlsLayer(client_context, server_side=False, server_hostname="agent.test")
    assert not client.ready
    with pytest.raises(RuntimeError, match="before the handshake"):
        client.send(b"early")


def test_data_with_finished_is_heard(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    pair = Pair(client_context, server_context)
    pair.carry(pair.client.pending(), pair.server)
    pair.carry(pair.server.pending(), pair.client)
    assert pair.client.ready
    pair.carry(pair.client.pending() + pair.client.send(b"first words"), pair.server)
    assert pair.heard[pair.server] == b"first words"


@pytest.mark.slow
@pytest.mark.parametrize("flight", ["hello", "server", "finished"])
def test_handshake_survives_every_split(
    client_context: ssl.SSLContext, server_context: ssl.SSLContext, flight: str
) -> None:
    cut = 1
    while True:
        pair = Pair(client_context, server_context)
        hello = pair.client.pending()
        pair.carry(hello, pair.server, cut if flight == "hello" else None)
        answer = pair.server.pending()
        pair.carry(answer, pair.client, cut if flight == "server" else None)
        finished = pair.client.pending() + pair.client.send(b"words")
        pair.carry(finished, pair.server, cut if flight == "finished" else None)
        assert pair.heard[pair.server] == b"words"
        cut += 1
        if cut >= len({"hello": hello, "server": answer, "finished": finished}[flight]):
            return


def test_records_survive_every_split(pair: Pair) -> None:
    cut = 1
    while True:  # each round is fresh ciphertext: a record can be decrypted only once, and in order
        records = pair.client.send(b"one") + pair.client.send(b"two")
        pair.heard[pair.server] = b""
        pair.carry(records, pair.server, cut)
        assert pair.heard[pair.server] == b"onetwo"
        cut += 1
        if cut >= len(records):
            return


def test_data_before_the_end_is_heard(pair: Pair) -> None:
    last = pair.client.send(b"goodbye") + pair.client.close()
    assert bytes(pair.server.receive(memoryview(last))) == b"goodbye"
    with pytest.raises(LayerClosed):
        pair.server.receive(memoryview(b""))
    with pytest.raises(LayerClosed):
        pair.server.receive(memoryview(b"more"))


def test_unknown_authority_is_told_to_both(server_context: ssl.SSLContext) -> None:
    pair = Pair(Authority("someone else").client_context(), server_context)
    pair.carry(pair.client.pending(), pair.server)
    with pytest.raises(LayerError, match="certificate verify failed: unable to get local issuer"):
        pair.carry(pair.server.pending(), pair.client)
    with pytest.raises(LayerError, match="alert from the peer: unknown ca"):
        pair.carry(pair.client.pending(), pair.server)


def test_wrong_host_name_is_told(client_context: ssl.SSLContext, server_context: ssl.SSLContext) -> None:
    with pytest.raises(LayerError, match="Hostname mismatch"):
        Pair(client_context, server_context, "other.test").settle()


def test_missing_client_certificate_is_told(client_context: ssl.SSLContext, tmp_path: Path) -> None:
    strict = AUTHORITY.server_context(LEAF, tmp_path, ask_client=True)
    strict.verify_mode = ssl.CERT_REQUIRED
    pair = Pair(client_context, strict)
    pair.carry(pair.client.pending(), pair.server)
    pair.carry(pair.server.pending(), pair.client)
    assert pair.client.ready  # in TLS 1.3 the client can't know yet
    with pytest.raises(LayerError, match="peer did not return a certificate"):
        pair.carry(pair.client.pending(), pair.server)
    with pytest.raises(LayerError, match="alert from the peer: certificate required"):
        pair.carry(pair.server.pending(), pair.client)


def test_corrupted_record_is_an_error(pair: Pair) -> None:
    record = bytearray(pair.client.send(b"words"))
    record[-1] ^= 1
    with pytest.raises(LayerError, match="bad record mac"):
        pair.server.receive(memoryview(record))
    with pytest.raises(LayerError):
        pair.server.receive(memoryview(b""))


def test_plain_http_is_an_error(client_context: ssl.SSLContext) -> None:
    client = TlsLayer(client_context, server_side=False, server_hostname="agent.test")
    with pytest.raises(LayerError, match="wrong version number"):
        client.receive(memoryview(b"HTTP/1.1 400 Bad Request\r\n\r\n"))


def test_sending_after_close_is_an_error(pair: Pair) -> None:
    pair.client.close()
    with pytest.raises(LayerError):
        pair.client.send(b"too late")
