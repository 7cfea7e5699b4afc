"""Who knocks at the tunnel port and is not this session's client: refused, told once, and the session does not notice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.tunnels import MOST_STRANGERS
from interceptor.tunnel.client import Tunnel
from interceptor.wire.frames import Kind
from interceptor.wire.tls import TlsLayer
from interceptor.workload.authority import Authority
from tests.agent.running import APP, SESSION, TUNNEL, Agent, link_to, local_side, running_agent, tunnel_to
from tests.agent.test_serving import call, closed, serving, status

Intrusion = Callable[[Agent], Awaitable[None]]
FRAMES = 10_000
MEMORY = 16_000  # kilobytes that an agent under attack may grow by: what the most strangers at once take


@asynccontextmanager
async def session(folder: Path, *, told: int = 1) -> AsyncIterator[Agent]:
    """An agent that serves callers; what happens inside must not be noticed by any of them, and be `told` this often."""
    async with serving() as port:
        with running_agent(folder) as agent:
            async with tunnel_to(agent, local_side({APP: port})) as tunnel:
                before, memory = files(agent), agent.rss()
                async with asyncio.TaskGroup() as group:
                    callers = group.create_task(keep_calling(agent), name="callers")
                    yield agent
                    callers.cancel()
                assert (await call(agent.bind, APP)).endswith(b"hello")
                assert not tunnel.ended.done()
                async with asyncio.timeout(30):
                    while files(agent) > before:  # noqa: ASYNC110  another process closes them
                        await asyncio.sleep(0.05)
                assert agent.rss() - memory < MEMORY
        assert agent.words.count("is connected") == 1
        assert agent.words.count("was refused") == told, agent.words


async def keep_calling(agent: Agent) -> None:
    while True:
        assert (await call(agent.bind, APP)).endswith(b"hello")
        assert await status(agent, "/ready") == b"200"
        await asyncio.sleep(0.02)


def files(agent: Agent) -> int:
    return len(os.listdir(f"/proc/{agent.process.pid}/fd"))


async def knock(agent: Agent, data: bytes) -> bytes:
    """Send some bytes to the tunnel port; what comes back until it is closed."""
    reader, writer = await asyncio.open_connection(agent.bind, TUNNEL)
    try:
        writer.write(data)
        async with asyncio.timeout(30):
            return await reader.read()
    except ConnectionError:
        return b""
    finally:
        await closed(writer)


async def shake_hands(agent: Agent, context: ssl.SSLContext) -> str:
    """TLS with the agent, which refuses only after our end is done; why it ended."""
    try:
        reader, writer = await asyncio.open_connection(agent.bind, TUNNEL, ssl=context, server_hostname=SESSION)
    except (ssl.SSLError, ConnectionError) as error:
        return str(error)
    try:
        async with asyncio.timeout(30):
            assert await reader.read(100) == b""
    except (ssl.SSLError, ConnectionError) as error:
        return str(error)
    finally:
        with contextlib.suppress(ssl.SSLError):
            await closed(writer)
    return "closed"


async def test_wrong_certificate_is_refused(tmp_path: Path) -> None:
    """Of another session's authority, although it says the same name; and none at all."""
    async with session(tmp_path) as agent:
        other = Authority.create(SESSION).client_context()
        other.check_hostname, other.verify_mode = False, ssl.CERT_NONE
        assert "unknown ca" in (await shake_hands(agent, other)).lower()
        nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        nobody.check_hostname, nobody.verify_mode = False, ssl.CERT_NONE
        assert "certificate required" in (await shake_hands(agent, nobody)).lower()


async def test_agents_own_certificate_is_refused(tmp_path: Path) -> None:
    """It lies in the pod, where others may read it: good for a server only."""
    async with session(tmp_path) as agent:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(tmp_path / "ca.crt")
        context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
        told = (await shake_hands(agent, context)).lower()
        assert "unsupported certificate" in told


async def test_replayed_handshake_is_refused(tmp_path: Path) -> None:
    """All bytes that the real client has sent, again: TLS answers with other randomness, and they mean nothing."""
    async with session(tmp_path, told=2) as agent:  # of another session; and the same bytes, which are none
        sent = bytearray()

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await asyncio.open_connection(agent.bind, TUNNEL)
            async with asyncio.TaskGroup() as group:
                group.create_task(pump(reader, far_writer, sent), name="there")
                group.create_task(pump(far_reader, writer, bytearray()), name="back")

        server = await asyncio.start_server(relay, "127.0.0.1", 0)
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, server.sockets[0].getsockname())
        # Of a session that the agent doesn't know, so that it doesn't take the place of the one that serves.
        tunnel = Tunnel("other", local_side({}))
        layer = TlsLayer(agent.authority.client_context(), server_side=False, server_hostname=SESSION)
        with contextlib.suppress(Exception):
            await tunnel.start(sock, [layer])
        await tunnel.closed()
        server.close()
        await server.wait_closed()
        assert len(sent) > 500  # hello, certificate, finished, and a first frame
        await agent.says("session")
        await knock(agent, bytes(sent))


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kept: bytearray) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            kept += data
            writer.write(data)
            await writer.drain()
    await closed(writer)


def malformed(seed: int, count: int) -> bytes:
    """Frames that break the rules before a greeting, each in its own way."""
    dice = random.Random(seed)  # noqa: S311  the same each time
    kinds = [int(kind) for kind in Kind if kind not in (Kind.HELLO, Kind.CLOSE)] + [99, 255]
    frames = []
    for _ in range(count):
        payload = dice.randbytes(dice.randrange(60))
        head = bytes([dice.choice(kinds), dice.randrange(256)]) + len(payload).to_bytes(2, "big")
        frames.append(head + dice.randrange(1 << 32).to_bytes(4, "big") + payload)
    return b"".join(frames)


@pytest.mark.slow
async def test_malformed_frames_are_refused(tmp_path: Path) -> None:
    """Ten thousand, from somebody who has even got hold of the client's certificate."""
    async with session(tmp_path) as agent:
        context = agent.authority.client_context()

        def send_all() -> None:
            for number in range(FRAMES // 40):
                raw = socket.create_connection((agent.bind, TUNNEL), 10)
                with context.wrap_socket(raw, server_hostname=SESSION) as tls:
                    tls.sendall(malformed(number, 40))
                    answer = b"".join(iter(lambda: tls.recv(4096), b""))
                assert Kind.CLOSE in kinds_of(answer)

        await asyncio.to_thread(send_all)


def kinds_of(data: bytes) -> list[int]:
    """Of the frames in it."""
    found = []
    while len(data) >= 8:
        found.append(data[0])
        data = data[8 + int.from_bytes(data[2:4], "big") :]
    return found


@pytest.mark.slow
async def test_noise_is_refused(tmp_path: Path) -> None:
    """The same without TLS, on connections of their own."""
    async with session(tmp_path) as agent:

        def send_all() -> None:
            for number in range(FRAMES // 5):
                with socket.create_connection((agent.bind, TUNNEL), 10) as raw, contextlib.suppress(ConnectionError):
                    raw.sendall(malformed(number, 5))
                    raw.shutdown(socket.SHUT_WR)
                    while raw.recv(4096):
                        pass

        await asyncio.to_thread(send_all)


@pytest.mark.slow
async def test_slow_strangers_are_bounded(tmp_path: Path) -> None:
    """A slow-loris: connections that say nothing, or a byte now and then. The session's client still gets in beside."""
    async with session(tmp_path) as agent:
        before = files(agent)
        loris = [await asyncio.open_connection(agent.bind, TUNNEL) for _ in range(300)]
        for _, writer in loris[::2]:
            writer.write(b"\x16")
        await asyncio.sleep(0.5)
        # Besides: one that was accepted and for which the oldest has not gone yet, and callers that come and go.
        assert files(agent) <= before + MOST_STRANGERS + 8
        sock = await link_to(agent)
        reader, writer = await asyncio.open_connection(
            sock=sock, ssl=agent.authority.client_context(), server_hostname=SESSION
        )
        assert (await reader.readexactly(8))[0] == Kind.HELLO
        await closed(writer)
        for _, each in loris:
            await closed(each)


async def test_slow_prober_is_bounded(tmp_path: Path) -> None:
    """The same at the port for probes: the kubelet is answered."""
    async with session(tmp_path) as agent:
        loris = [await asyncio.open_connection(agent.bind, 47812) for _ in range(200)]
        assert await status(agent, "/live") == b"200"
        for _, each in loris:
            await closed(each)
        await knock(agent, b"noise")  # so that one refusal is told here too
