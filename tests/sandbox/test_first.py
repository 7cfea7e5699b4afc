"""A sandbox's first process, started before anybody knows what to make: it waits, and never stays."""

from __future__ import annotations

import asyncio

import pytest

from interceptor.sandbox.namespace import SandboxFailed, begin, open_namespace
from interceptor.sandbox.spec import Spec

SPEC = Spec(argv=("true",), executable="/bin/true", environ={})


async def test_unwanted_first_is_ended() -> None:
    async with begin() as first:
        assert first.process.returncode is None
    assert first.process.returncode is not None


async def test_deserted_first_ends_alone() -> None:
    """As when the client is killed: nobody is left to end it."""
    async with begin() as first:
        first.control.close()
        async with asyncio.timeout(20):
            assert await first.process.wait() == 0


async def test_dead_first_is_told() -> None:
    async with begin() as first:
        first.process.kill()
        await first.process.wait()
        with pytest.raises(SandboxFailed, match="its first process ended"):
            async with open_namespace(SPEC, begun=first):
                pytest.fail("nobody could make it")
