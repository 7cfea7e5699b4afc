"""What every kind of stream promises; `test_contract` runs it on sockets and tunnels, `e2e/tunnel` on a port-forward.

A way is asked for connections; each is two sockets of this process, whatever lies between them: `near` is the caller's,
`far` the one that the called process accepted.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
import struct
from typing import Protocol

import pytest

MIB = 1024 * 1024
Connection = tuple[socket.socket, socket.socket]


class Way(Protocol):
    """Makes connections. `patience` is in seconds; `most_clogged` is what may lie between two ends: windows, buffers."""

    patience: float
    most_clogged: int

    async def connect(self) -> Connection: ...

    def alive(self) -> int:
        """Streams that both ends still hold."""


class StreamContract:
    """Subclasses give the fixture `way`."""

    @pytest.mark.parametrize("size", [1, 1000, 65_521, 3 * MIB])
    @pytest.mark.parametrize("forth", [True, False], ids=["forth", "back"])
    async def test_bytes_arrive(self, way: Way, size: int, forth: bool) -> None:
        near, far = await way.connect()
        source, target = (near, far) if forth else (far, near)
        async with asyncio.timeout(way.patience), asyncio.TaskGroup() as group:
            sent = group.create_task(send_random(source, size), name="send")
            got = group.create_task(digest(target), name="receive")
        assert got.result() == sent.result()
        close(near, far)

    async def test_both_ways_at_once(self, way: Way) -> None:
        near, far = await way.connect()
        async with asyncio.timeout(way.patience), asyncio.TaskGroup() as group:
            forth = group.create_task(send_random(near, MIB), name="send")
            back = group.create_task(send_random(far, MIB), name="send back")
            at_far = group.create_task(digest(far), name="receive")
            at_near = group.create_task(digest(near), name="receive back")
        assert at_far.result() == forth.result()
        assert at_near.result() == back.result()
        close(near, far)

    @pytest.mark.parametrize("forth", [True, False], ids=["forth", "back"])
    async def test_one_half_ends(self, way: Way, forth: bool) -> None:
        near, far = await way.connect()
        first, second = (near, far) if forth else (far, near)
        async with asyncio.timeout(way.patience):
            await say(first, b"my last words")
            first.shutdown(socket.SHUT_WR)
            assert await read_all(second) == b"my last words"
            await say(second, b"I go on ")
            await say(second, b"talking")
            second.shutdown(socket.SHUT_WR)
            assert await read_all(first) == b"I go on talking"
            await until_idle(way)
        close(near, far)

    @pytest.mark.parametrize("forth", [True, False], ids=["forth", "back"])
    async def test_reset_is_a_reset(self, way: Way, forth: bool) -> None:
        near, far = await way.connect()
        breaks, sees = (near, far) if forth else (far, near)
        async with asyncio.timeout(way.patience):
            await say(near, b"hello")
            assert await read_exactly(far, 5) == b"hello"
            await say(far, b"hello")
            assert await read_exactly(near, 5) == b"hello"
            breaks.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            breaks.close()
            with pytest.raises(ConnectionResetError):
                await read_all(sees)
            await until_idle(way)
        close(sees)

    async def test_clogged_peer_stops_itself(self, way: Way) -> None:
        near, far = await way.connect()
        sent = hashlib.sha256()
        clogged = 0
        async with asyncio.timeout(way.patience):
            clogged = await fill(near, sent, way.most_clogged)
            assert clogged < way.most_clogged
            other_near, other_far = await way.connect()  # others go on
            await say(other_near, b"am I stopped too?")
            assert await read_exactly(other_far, 17) == b"am I stopped too?"
            close(other_near, other_far)
            near.shutdown(socket.SHUT_WR)
            assert await digest(far) == sent.hexdigest()  # and it resumes
        close(near, far)

    async def test_given_up_ends_both(self, way: Way) -> None:
        near, far = await way.connect()
        async with asyncio.timeout(way.patience):
            await say(far, b"never read")
            await say(near, b"hello")
            assert await read_exactly(far, 5) == b"hello"
            near.close()
            with contextlib.suppress(ConnectionResetError):  # unread bytes were thrown away: TCP says reset
                assert await read_all(far) == b""
            far.close()
            await until_idle(way)

    async def test_cancelled_read_loses_nothing(self, way: Way) -> None:
        near, far = await way.connect()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(way.patience):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await loop.sock_recv(far, 10)
            await say(near, b"after all")
            assert await read_exactly(far, 9) == b"after all"
        close(near, far)

    async def test_many_at_once(self, way: Way) -> None:
        pairs = [await way.connect() for _ in range(25)]

        async def echo(near: socket.socket, far: socket.socket) -> None:
            message = os.urandom(2000)
            await say(near, message)
            assert await read_exactly(far, 2000) == message
            await say(far, message)
            assert await read_exactly(near, 2000) == message

        async with asyncio.timeout(way.patience), asyncio.TaskGroup() as group:
            for near, far in pairs:
                group.create_task(echo(near, far), name="echo")
        for near, far in pairs:
            close(near, far)
        async with asyncio.timeout(way.patience):
            await until_idle(way)


async def say(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)


async def read_exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        part = await asyncio.get_running_loop().sock_recv(sock, size - len(data))
        assert part, f"ended after {data!r}"
        data += part
    return data


async def read_all(sock: socket.socket) -> bytes:
    data = b""
    while part := await asyncio.get_running_loop().sock_recv(sock, 65_536):
        data += part
    return data


async def send_random(sock: socket.socket, size: int) -> str:
    """Send and half-close; returns the digest of what was sent."""
    data = os.urandom(size)
    await say(sock, data)
    sock.shutdown(socket.SHUT_WR)
    return hashlib.sha256(data).hexdigest()


async def digest(sock: socket.socket) -> str:
    found = hashlib.sha256()
    while part := await asyncio.get_running_loop().sock_recv(sock, 262_144):
        found.update(part)
    return found.hexdigest()


async def fill(sock: socket.socket, sent: hashlib._Hash, most: int) -> int:
    """Send until nothing more is taken for a while; returns how much was."""
    block, total = os.urandom(65_536), 0
    while total < most:
        try:
            size = sock.send(block)
        except BlockingIOError:
            before = total
            try:
                async with asyncio.timeout(1.0):
                    total += await _send_when_possible(sock, block, sent)
            except TimeoutError:
                return before
            continue
        sent.update(block[:size])
        total += size
    return total


async def _send_when_possible(sock: socket.socket, block: bytes, sent: hashlib._Hash) -> int:
    loop = asyncio.get_running_loop()
    writable = asyncio.Event()
    loop.add_writer(sock, writable.set)
    try:
        await writable.wait()
    finally:
        loop.remove_writer(sock)
    try:
        size = sock.send(block)
    except BlockingIOError:
        return 0
    sent.update(block[:size])
    return size


async def until_idle(way: Way) -> None:
    while way.alive():  # noqa: ASYNC110  nobody tells: the other end is another process
        await asyncio.sleep(0.01)


def close(*sockets: socket.socket) -> None:
    for sock in sockets:
        sock.close()
