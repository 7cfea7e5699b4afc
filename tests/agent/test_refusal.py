"""The last word to a caller, on two ends of a connection in one loop: the test says when which of them speaks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from agent import refusal as refusal_module
from agent.refusal import Refusal
from tests.tunnel.muxes import Bench

REQUEST = b"GET /orders HTTP/1.1\r\nHost: orders\r\n\r\n"


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.close()


def test_late_request_hears_503(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller's connection is refused before its first byte is there."""
    monkeypatch.setattr(refusal_module, "FIRST_WORDS", 60.0)
    caller, accepted = bench.sockets()
    ended: list[Refusal] = []
    Refusal(bench.poller, accepted, "nobody is there", ended.append).start()
    bench.idle()
    caller.send(REQUEST[:2])
    bench.idle()
    caller.send(REQUEST[2:])
    answer = bench.read(caller, 10_000)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert answer.endswith(b"interceptor: nobody is there\n")
    caller.close()
    bench.until(lambda: ended)


def test_silent_caller_is_reset(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An end of file could pass for an empty answer."""
    monkeypatch.setattr(refusal_module, "FIRST_WORDS", 0.05)
    caller, accepted = bench.sockets()
    ended: list[Refusal] = []
    Refusal(bench.poller, accepted, "nobody is there", ended.append).start()
    bench.until(lambda: ended)
    with pytest.raises(ConnectionResetError):
        bench.read(caller, 1)
