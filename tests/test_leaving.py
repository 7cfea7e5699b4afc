"""Whoever connects while a test's server ends is not left for a later test to find."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys

import pytest
from aiohttp import web

from tests.leaving import clean_up


@pytest.mark.parametrize("passes", range(6))
async def test_late_caller_is_let_go(passes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[object] = []
    runner = web.AppRunner(web.Application())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with socket.create_connection(runner.addresses[0]) as caller:
        for _ in range(passes):
            await asyncio.sleep(0)
        async with asyncio.TaskGroup() as group:
            group.create_task(clean_up(runner), name="clean up")
            await asyncio.sleep(0)
            caller.close()
    monkeypatch.setattr(sys, "unraisablehook", left.append)
    gc.collect()
    assert left == []
