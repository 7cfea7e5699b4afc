"""What the kernel takes back is answered, whenever that comes: who asked waits for it."""

from __future__ import annotations

import asyncio
import errno
import socket
import stat

from interceptor.sandbox.files import abi
from interceptor.sandbox.files.abi import Op
from interceptor.sandbox.files.readahead import Budget
from interceptor.sandbox.files.remote import RemoteFiles
from interceptor.sandbox.files.server import FuseServer
from interceptor.tunnel.errors import StreamRefused
from interceptor.wire.files import Attributes
from interceptor.wire.reasons import Reason

ROOT = Attributes(1, 1, stat.S_IFDIR | 0o755, 2, 0, 0, 0, 0, 0, 0, 0, 0, 4096)


async def _away(_: object) -> None:
    raise StreamRefused(Reason.GONE, "no agent is connected")


def _request(op: Op, unique: int, body: bytes) -> bytes:
    return abi.IN.pack(abi.IN.size + len(body), op, unique, 1, 0, 0, 0, 0) + body


async def test_taken_back_at_once_is_answered() -> None:
    """A question and its interruption in one turn of the loop."""
    await _interrupted(together=True)


async def test_taken_back_later_is_answered() -> None:
    await _interrupted(together=False)


async def _interrupted(*, together: bool) -> None:
    kernel, device = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    kernel.setblocking(False)
    loop = asyncio.get_running_loop()
    with kernel:
        remote = RemoteFiles(_away, ["/data"])  # type: ignore[arg-type]  # never asked: nothing serves it
        server = FuseServer(device.detach(), remote, 0, ROOT, Budget())
        kernel.send(_request(Op.LOOKUP, 7, b"name\0"))
        async with asyncio.TaskGroup() as group:
            if not together:
                serving = group.create_task(server.serve(), name="fuse")
                await asyncio.sleep(0.05)
                kernel.send(_request(Op.INTERRUPT, 8, abi.NUMBER.pack(7)))
            else:
                kernel.send(_request(Op.INTERRUPT, 8, abi.NUMBER.pack(7)))
                serving = group.create_task(server.serve(), name="fuse")
            async with asyncio.timeout(10):
                answer = await loop.sock_recv(kernel, 4096)
            serving.cancel()
    assert abi.OUT.unpack(answer) == (abi.OUT.size, -errno.EINTR, 7)
