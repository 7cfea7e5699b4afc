"""Our own standard streams, of every kind, are read and written without blocking the loop."""

from __future__ import annotations

import asyncio
import os
import pty
from pathlib import Path

import pytest

from interceptor.session.debug.terminal import read, write


async def test_pipe_is_read_to_its_end() -> None:
    ours, theirs = os.pipe()
    try:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(read(ours), name="read")
            await asyncio.sleep(0)
            assert not reading.done()
            os.write(theirs, b"typed")
        assert reading.result() == b"typed"
        os.close(theirs)
        assert await read(ours) == b""
    finally:
        os.close(ours)


async def test_file_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"x" * 20_000)
    descriptor = os.open(tmp_path / "f", os.O_RDONLY)
    try:
        found = b""
        while data := await read(descriptor):
            found += data
        assert len(found) == 20_000
    finally:
        os.close(descriptor)


async def test_null_device_is_at_its_end() -> None:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    try:
        assert await read(descriptor) == b""
    finally:
        os.close(descriptor)


async def test_closed_terminal_is_an_end() -> None:
    ours, theirs = pty.openpty()
    os.close(ours)
    try:
        assert await read(theirs) == b""
    finally:
        os.close(theirs)


async def test_slow_reader_blocks_nobody() -> None:
    ours, theirs = os.pipe()
    data = os.urandom(400_000)
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(write(theirs, data), name="write")
        await asyncio.sleep(0.02)  # it comes back: the loop goes on beside a full pipe
        assert not writing.done()
        found = b""
        while len(found) < len(data):
            found += await read(ours)
        await writing
    assert found == data
    os.close(ours)
    with pytest.raises(BrokenPipeError):
        await write(theirs, b"nobody reads")
    os.close(theirs)
