"""A question at a terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from interceptor.cli.ask import questioner


@contextmanager
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The person's end; ours is stdin and stderr. Not a fixture: pytest sets its own streams between the phases."""
    person, ours = pty.openpty()
    with os.fdopen(ours, "rb", 0) as stdin, os.fdopen(os.dup(ours), "w") as stderr, monkeypatch.context() as patched:
        patched.setattr(sys, "stdin", stdin)
        patched.setattr(sys, "stderr", stderr)
        try:
            yield person
        finally:
            os.close(person)


@pytest.mark.parametrize(("typed", "meant"), [("y", True), ("Yes", True), ("n", False), ("", False), ("yep", False)])
async def test_only_yes_is_yes(monkeypatch: pytest.MonkeyPatch, typed: str, meant: bool) -> None:
    with terminal(monkeypatch) as person:
        ask = questioner("text")
        assert ask is not None
        os.write(person, f"{typed}\n".encode())
        assert await ask("Take it over?") is meant
        heard = b""
        while b"Take it over? [y/N] " not in heard:  # the terminal's echo of what was typed is in there too
            heard += await asyncio.wait_for(asyncio.to_thread(os.read, person, 1000), 20)


async def test_cancelled_question_lets_go(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch):
        ask = questioner("text")
        assert ask is not None
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await ask("Take it over?")


def test_nobody_is_asked_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    with terminal(monkeypatch):
        assert questioner("json") is None
        # A context of its own: undone at the end of the test, it would bring back the terminal, closed by then.
        with open(os.devnull) as nothing, monkeypatch.context() as patched:
            patched.setattr(sys, "stdin", nothing)
            assert questioner("text") is None
