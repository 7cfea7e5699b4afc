"""A real agent that is told to end, with real callers: what is finished, what is refused, and in what time."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from agent.drain import MOST_OPEN, QUIET
from interceptor.wire.reasons import Reason
from tests.agent.running import APP, HEALTH, local_side, running_agent, tunnel_to
from tests.agent.test_serving import REQUEST, call, closed, head, serving, status


@pytest.mark.slow
async def test_pod_ends_without_cutting(tmp_path: Path) -> None:
    """SIGTERM: not ready at once, still open for those who come late, and the answer under way arrives whole."""
    asked, answer_now = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if await head(reader):
            asked.set()
            await answer_now.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nslow")
            await writer.drain()
        await closed(writer)

    with running_agent(tmp_path) as agent:
        async with serving(slow) as port, tunnel_to(agent, local_side({APP: port})) as tunnel:
            reader, writer = await asyncio.open_connection(agent.bind, APP)
            writer.write(REQUEST)
            _, idle_writer = await asyncio.open_connection(agent.bind, APP)
            await asyncio.wait_for(asked.wait(), 20)
            agent.terminate()
            await agent.says("the pod ends: draining")
            _, late = await asyncio.open_connection(agent.bind, APP)  # at once: it is open for two seconds
            assert await status(agent, "/ready") == b"503"
            await asyncio.sleep(3.5)
            assert agent.process.poll() is None
            answer_now.set()
            assert (await asyncio.wait_for(reader.read(), 20)).endswith(b"slow")
            await closed(writer)
            for other in (idle_writer, late):
                await closed(other)
            assert await agent.exit_code() == 0
            assert (await asyncio.wait_for(asyncio.shield(tunnel.ended), 20)).reason is Reason.GOODBYE


@pytest.mark.slow  # it drains for as long as somebody comes
async def test_port_closes_when_nobody_comes(tmp_path: Path) -> None:
    """A node's proxy that learns late goes on sending: nobody is refused until it has been quiet, or for long enough."""
    now = asyncio.get_running_loop().time
    with running_agent(tmp_path) as agent:
        async with serving() as port, tunnel_to(agent, local_side({APP: port})):
            agent.terminate()
            began = came = now()
            served = 0
            while True:
                trying = now()
                try:
                    assert (await call(agent.bind, APP)).endswith(b"hello")
                except ConnectionRefusedError:
                    break
                came, served = trying, served + 1
                await asyncio.sleep(0.2)
            assert served
            assert now() - came >= QUIET or now() - began >= MOST_OPEN
        assert await agent.exit_code() == 0


@pytest.mark.slow  # a second, and one of five
@pytest.mark.parametrize("grace", [1.0, 5.0])
async def test_short_grace_is_kept(grace: float, tmp_path: Path) -> None:
    """Callers go on coming: they are served while there is time, who can't be finished is cut, and it is said."""
    asked, answer_now = asyncio.Event(), asyncio.Event()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await head(reader)
        if request.startswith((b"GET /late", b"GET /never")):
            asked.set()
            await answer_now.wait()
        if request.startswith(b"GET /never"):
            await reader.read()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nslow")
        await closed(writer)

    now = asyncio.get_running_loop().time
    with running_agent(tmp_path, grace=grace) as agent:
        async with serving(slow) as port, tunnel_to(agent, local_side({APP: port})) as tunnel:
            reader, writer = await asyncio.open_connection(agent.bind, APP)
            writer.write(b"GET /late HTTP/1.1\r\nHost: orders\r\n\r\n")
            await asyncio.wait_for(asked.wait(), 20)
            never, never_writer = await asyncio.open_connection(agent.bind, APP)
            never_writer.write(b"GET /never HTTP/1.1\r\nHost: orders\r\n\r\n")
            agent.terminate()
            began = now()
            assert (await call(agent.bind, APP)).endswith(b"slow")
            answer_now.set()
            with contextlib.suppress(ConnectionRefusedError):
                while now() - began < MOST_OPEN:
                    assert (await call(agent.bind, APP)).endswith(b"slow")
                    await asyncio.sleep(0.05)
            assert (await asyncio.wait_for(reader.read(), 20)).endswith(b"slow")
            with pytest.raises(ConnectionResetError):
                await asyncio.wait_for(never.read(), 20)
            assert await agent.exit_code() == 0
            assert now() - began < grace + 1  # the kubelet would have killed it; a busy machine has a second more
            assert f"the grace period of {grace:g} s is over: 1 of its connections is cut" in agent.words
            assert (await asyncio.wait_for(asyncio.shield(tunnel.ended), 20)).reason is Reason.GOODBYE
            await closed(writer)
            await closed(never_writer)


async def test_waiting_ends_with_the_grace(tmp_path: Path) -> None:
    """Nobody came for them, and their time to wait is longer than the pod's to end."""
    with running_agent(tmp_path, grace=1.0) as agent:
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(call(agent.bind, APP), name="call")
            view = b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n"
            while b'"waiting": 1' not in await call(agent.bind, HEALTH, view):  # noqa: ASYNC110  it is another process
                await asyncio.sleep(0.01)
            agent.terminate()
        assert answer.result().startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"interceptor: the pod ends" in answer.result()
        assert await agent.exit_code() == 0
