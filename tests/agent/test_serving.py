"""A real agent with a real caller: served, held, refused with words, handed over, and never left half-open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from interceptor.tunnel.aio import AsyncioPoller
from interceptor.tunnel.client import TunnelLost
from interceptor.tunnel.local import LocalSide
from interceptor.tunnel.mux import Mux
from interceptor.tunnel.relay import Relay
from interceptor.wire.reasons import Reason
from tests.agent.running import APP, HEALTH, TUNNEL, Agent, local_side, loopback, running_agent, tunnel_to

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
REQUEST = b"GET /orders HTTP/1.1\r\nHost: orders\r\n\r\n"


async def hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The developer's process: answers each request on a connection."""
    while await head(reader):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        await writer.drain()
    writer.close()


async def head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


@asynccontextmanager
async def serving(handler: Handler = hello, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[int]:
    writers: list[asyncio.StreamWriter] = []

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await handler(reader, writer)

    server = await asyncio.start_server(served, host, port)
    yield server.sockets[0].getsockname()[1]
    server.close()
    for writer in writers:
        await closed(writer)


async def closed(writer: asyncio.StreamWriter) -> None:
    """Close, and wait until that is done: what is left open when a test ends is an error in the next one."""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def call(host: str, port: int, data: bytes = REQUEST, *, within: float = 60.0) -> bytes:
    """Everything that comes back until the end."""
    async with asyncio.timeout(within):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            if data:
                writer.write(data)
                writer.write_eof()
            return await reader.read()
        finally:
            await closed(writer)


async def status(agent: Agent, path: str) -> bytes:
    answer = await call(agent.bind, HEALTH, b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path.encode())
    return answer.split(b" ", 2)[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port: int = sock.getsockname()[1]
        return port


async def test_requests_are_served(tmp_path: Path) -> None:
    with running_agent(tmp_path) as agent:
        async with serving() as port, tunnel_to(agent, local_side({APP: port})):
            answers = await asyncio.gather(*(call(agent.bind, APP) for _ in range(50)))
            assert {answer.rpartition(b"\n")[2] for answer in answers} == {b"hello"}


async def test_caller_waits_for_tunnel(tmp_path: Path) -> None:
    """Nothing of the request is lost: it is not read before somebody takes it."""
    with running_agent(tmp_path) as agent:
        async with serving() as port, asyncio.TaskGroup() as group:
            calls = [group.create_task(call(agent.bind, APP), name="call") for _ in range(20)]
            await asyncio.sleep(0.1)
            async with tunnel_to(agent, local_side({APP: port})):
                for answer in calls:
                    assert (await answer).endswith(b"hello")


async def test_caller_survives_lost_tunnel(tmp_path: Path) -> None:
    """Held by the first client, whose tunnel breaks; served by the next."""
    with running_agent(tmp_path) as agent:
        nobody = free_port()
        async with asyncio.TaskGroup() as group:
            async with tunnel_to(agent, local_side({APP: nobody})) as tunnel:
                answer = group.create_task(call(agent.bind, APP), name="call")
                async with asyncio.timeout(20):
                    while not tunnel.streams:  # noqa: ASYNC110  the agent is another process
                        await asyncio.sleep(0.01)
                tunnel.close(Reason.BROKEN)
            async with serving() as port, tunnel_to(agent, local_side({APP: port})):
                assert (await answer).endswith(b"hello")


async def test_waiting_ends_with_503(tmp_path: Path) -> None:
    with running_agent(tmp_path, hold=0.3) as agent:
        answer = await call(agent.bind, APP)
        assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"interceptor: waited 0.3 s; the developer's machine is not connected yet" in answer


async def test_shut_door_is_a_503(tmp_path: Path) -> None:
    with running_agent(tmp_path) as agent:
        nobody = free_port()
        async with tunnel_to(agent, local_side({APP: nobody}, hold=0.2)):
            answer = await call(agent.bind, APP)
            assert b" 503 " in answer
            assert b"nothing listens on 127.0.0.1:%d on the developer's machine (waited 0.2 s)" % nobody in answer


async def test_http2_gets_goaway(tmp_path: Path) -> None:
    with running_agent(tmp_path, hold=0.1) as agent:
        answer = await call(agent.bind, APP, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
        assert answer[:9] == b"\0\0\0\4\0\0\0\0\0"
        length, kind, last_stream = int.from_bytes(answer[9:12], "big"), answer[12], answer[18:22]
        assert (kind, last_stream, length) == (7, bytes(4), len(answer) - 18)
        assert b"not connected yet" in answer


@pytest.mark.parametrize(
    "words", [b"", b"\x16\x03\x01\x02\0\x01\0", b"*1\r\n$4\r\nPING\r\n"], ids=["none", "tls", "redis"]
)
async def test_others_are_reset(tmp_path: Path, words: bytes) -> None:
    """An end of file could pass for an empty answer."""
    with running_agent(tmp_path, hold=0.1) as agent:
        reader, writer = await asyncio.open_connection(agent.bind, APP)
        writer.write(words)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 20)
        await closed(writer)


async def test_health_follows_session(tmp_path: Path) -> None:
    with running_agent(tmp_path) as agent:
        assert [await status(agent, path) for path in ("/live", "/started", "/ready")] == [b"200", b"200", b"503"]
        async with tunnel_to(agent, local_side({}), arm=False) as tunnel:
            assert await status(agent, "/ready") == b"503"
            await tunnel.ask("arm")
            assert await status(agent, "/ready") == b"200"
        assert await status(agent, "/ready") == b"200"  # callers wait for the next tunnel
        assert await status(agent, "/nothing") == b"503"


async def test_idle_probes_starve_nobody(tmp_path: Path) -> None:
    with running_agent(tmp_path) as agent:
        idle = [await asyncio.open_connection(agent.bind, HEALTH) for _ in range(100)]
        assert await status(agent, "/live") == b"200"
        for _, writer in idle:
            await closed(writer)


async def test_slow_loris_lets_client_in(tmp_path: Path) -> None:
    with running_agent(tmp_path) as agent:
        idle = [await asyncio.open_connection(agent.bind, TUNNEL) for _ in range(60)]
        async with tunnel_to(agent, local_side({})) as tunnel:
            assert (await tunnel.ask("arm"))["reply"]
        open_descriptors = len(os.listdir(f"/proc/{agent.process.pid}/fd"))
        assert open_descriptors < 16 + 20
        for _, writer in idle:
            await closed(writer)


async def test_probe_goes_whole_way(tmp_path: Path) -> None:
    with running_agent(tmp_path) as agent:
        async with serving() as port, tunnel_to(agent, local_side({APP: port})) as tunnel:
            answer = await tunnel.ask("probe")
            assert answer["ok"] is True
            assert answer["ms"] > 0
        nobody = free_port()
        async with tunnel_to(agent, local_side({APP: nobody})) as tunnel:
            answer = await tunnel.ask("probe")
            assert answer["ok"] is False
            assert f"nothing listens on 127.0.0.1:{nobody}" in answer["error"] or "refused" in answer["error"]


async def test_environment_is_the_kernels(tmp_path: Path) -> None:
    """Byte for byte: also what is no UTF-8, and nothing that the interpreter added."""
    environ = {
        "PATH": os.environ["PATH"],
        "PLAIN": "käse",
        "EMPTY": "",
        "LINES": "one\ntwo=three",
        "ODD": os.fsdecode(b"caf\xe9 \xff\x80"),
        "LONG": "x" * 100_000,
        "LC_ALL": "C",
    }
    with running_agent(tmp_path, environ=environ) as agent:
        async with tunnel_to(agent, local_side({})) as tunnel:
            answer = await tunnel.ask("environment")
        found = {os.fsencode(name): os.fsencode(value) for name, value in answer["environ"].items()}
        expected = {os.fsencode(name): os.fsencode(value) for name, value in environ.items()}
        assert found == {**expected, b"INTERCEPTOR_BIND": agent.bind.encode()}


async def test_handover_loses_nobody(tmp_path: Path) -> None:
    """The command has ended: callers wait, and go on to the pod that took over."""
    stand_in = loopback()
    with running_agent(tmp_path) as agent:
        async with serving(host=stand_in, port=APP), tunnel_to(agent, local_side({APP: 1})) as tunnel:
            await tunnel.ask("pause", {"why": "the command has ended"})
            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(call(agent.bind, APP), name="call") for _ in range(10)]
                await asyncio.sleep(0.1)
                assert not any(answer.done() for answer in calls)
                await tunnel.ask("handover", {"pods": [stand_in]})
            assert {answer.result().rpartition(b"\n")[2] for answer in calls} == {b"hello"}
            assert (await call(agent.bind, APP)).endswith(b"hello")


async def test_sent_back_callers_wait(tmp_path: Path) -> None:
    """The local side closed before the pause was asked for: no circle of offers and refusals, no lost caller."""
    stand_in = loopback()
    with running_agent(tmp_path) as agent:
        offers: list[object] = []

        class Counting(LocalSide):
            def connect(self, mux: Mux, relay: Relay, target: dict[str, Any]) -> None:
                offers.append(target)
                super().connect(mux, relay, target)

        local = Counting(AsyncioPoller(asyncio.get_running_loop()), {}, 2.0, lambda _port, _open: None)
        local.close("the command has ended")
        async with serving(host=stand_in, port=APP), tunnel_to(agent, local) as tunnel, asyncio.TaskGroup() as group:
            answer = group.create_task(call(agent.bind, APP), name="call")
            await asyncio.sleep(0.5)
            assert len(offers) <= 1
            await tunnel.ask("handover", {"pods": [stand_in]})
            assert (await answer).endswith(b"hello")


async def test_missing_stand_in_is_a_503(tmp_path: Path) -> None:
    with running_agent(tmp_path, hold=0.5) as agent:
        async with tunnel_to(agent, local_side({APP: 1})) as tunnel:
            await tunnel.ask("handover", {"pods": [loopback()]})
            answer = await call(agent.bind, APP)
            assert b"the restored pods do not answer (Connection refused)" in answer


async def test_newer_tunnel_replaces(tmp_path: Path) -> None:
    with running_agent(tmp_path) as agent:
        async with serving() as port, tunnel_to(agent, local_side({APP: port})) as first:  # noqa: SIM117  up before the next
            async with tunnel_to(agent, local_side({APP: port})):
                lost = await asyncio.wait_for(asyncio.shield(first.ended), 20)
                assert (lost.reason, lost.text) == (Reason.REPLACED, "a newer tunnel took over")
                with pytest.raises(TunnelLost):
                    await first.ask("arm")
                assert (await call(agent.bind, APP)).endswith(b"hello")


@pytest.mark.slow
async def test_many_idle_connections(tmp_path: Path) -> None:
    """Beyond the usual soft limit of descriptors, and a few kilobytes each."""
    with running_agent(
        tmp_path, command=("sh", "-c", 'ulimit -Sn 256; exec "$0" -m agent "$@"', sys.executable)
    ) as agent:
        async with serving() as port, tunnel_to(agent, local_side({APP: port})):
            await call(agent.bind, APP)
            before = agent.rss()
            idle = [await asyncio.open_connection(agent.bind, APP) for _ in range(1000)]
            last = idle[-1]
            last[1].write(REQUEST)
            assert b"200 OK" in await asyncio.wait_for(last[0].readuntil(b"\r\n\r\n"), 20)
            assert (agent.rss() - before) / 1000 < 4
            for _, writer in idle:
                await closed(writer)
