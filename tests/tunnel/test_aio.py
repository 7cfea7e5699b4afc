"""The client's poller: what asyncio would only log, the owner of the callbacks hears."""

from __future__ import annotations

import asyncio
import functools
import os
import socket

from interceptor.tunnel.aio import AsyncioPoller


async def test_reads_and_stops() -> None:
    one, two = socket.socketpair()
    one.setblocking(False)
    poller = AsyncioPoller(asyncio.get_running_loop())
    heard: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def read() -> None:
        poller.readable(one.fileno(), None)
        heard.set_result(one.recv(10))

    poller.readable(one.fileno(), read)
    two.send(b"hello")
    assert await asyncio.wait_for(heard, 20) == b"hello"
    poller.readable(one.fileno(), None)  # not watched: harmless
    poller.writable(one.fileno(), None)
    one.close()
    two.close()


def fail() -> None:
    raise ZeroDivisionError


async def test_crash_is_told_twice() -> None:
    """To the owner, and to the loop's handler with its traceback."""
    loop = asyncio.get_running_loop()
    told: list[Exception] = []
    seen: asyncio.Future[dict[str, object]] = loop.create_future()
    loop.set_exception_handler(lambda _, context: seen.set_result(context))
    poller = AsyncioPoller(loop, told.append)
    poller.call_soon(fail)
    context = await asyncio.wait_for(seen, 20)
    assert isinstance(context["exception"], ZeroDivisionError)
    assert told == [context["exception"]]


async def test_cancelled_timer_is_silent() -> None:
    poller = AsyncioPoller(asyncio.get_running_loop())
    done: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    poller.call_later(0.0, lambda: done.set_result("cancelled")).cancel()
    poller.call_later(0.01, lambda: done.set_result("kept"))
    assert await asyncio.wait_for(done, 20) == "kept"


async def test_soon_follows_the_same_pass() -> None:
    """What a callback asks for comes after the others that are ready, and before asyncio's next pass."""
    loop = asyncio.get_running_loop()
    poller = AsyncioPoller(loop)
    pairs = [socket.socketpair() for _ in range(3)]
    done: asyncio.Future[None] = loop.create_future()
    told: list[str] = []

    def read(sock: socket.socket) -> None:
        told.append(sock.recv(10).decode())
        poller.call_soon(lambda: told.append("soon"))
        if len(told) == len(pairs):
            loop.call_soon(done.set_result, None)

    for index, (one, two) in enumerate(pairs):
        two.send(str(index).encode())
        poller.readable(one.fileno(), functools.partial(read, one))
    await asyncio.wait_for(done, 20)
    assert (sorted(told[:3]), told[3:]) == (["0", "1", "2"], ["soon"] * 3)
    for one, two in pairs:
        poller.readable(one.fileno(), None)
        one.close()
        two.close()


async def test_descriptor_goes_with_the_last() -> None:
    """Not with the collector: a client of many sessions would hold one for each."""
    poller = AsyncioPoller(asyncio.get_running_loop())
    one, two = socket.socketpair()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        poller.readable(one.fileno(), lambda: None)
        assert len(os.listdir("/proc/self/fd")) == before + 1
        poller.readable(one.fileno(), None)
        assert len(os.listdir("/proc/self/fd")) == before
    one.close()
    two.close()
