"""The same promises from epoll and from `selectors`, which stands in for it elsewhere."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest

from interceptor.tunnel.readiness import Readiness, SelectorSet


@pytest.fixture(params=["epoll", "selectors"])
def ready(request: pytest.FixtureRequest) -> Iterator[Readiness]:
    if request.param == "epoll" and not hasattr(select, "epoll"):
        pytest.skip("no epoll here")
    ready = Readiness(SelectorSet) if request.param == "selectors" else Readiness()
    yield ready
    ready.close()


def test_both_directions(ready: Readiness, pair: tuple[socket.socket, socket.socket]) -> None:
    told: list[str] = []
    ready.watch(pair[0].fileno(), 0, lambda: told.append("read"))
    ready.watch(pair[0].fileno(), 1, lambda: told.append("write"))
    ready.serve(0)
    pair[1].send(b"x")
    ready.serve(1)
    ready.watch(pair[0].fileno(), 1, None)
    ready.serve(1)
    assert told == ["write", "read", "write", "read"]


def test_unwatched_is_silent(ready: Readiness, pair: tuple[socket.socket, socket.socket]) -> None:
    told: list[str] = []
    fd = pair[0].fileno()
    ready.watch(fd, 0, lambda: told.append("read"))
    ready.watch(fd, 0, None)
    ready.watch(fd, 0, None)
    pair[1].send(b"x")
    ready.serve(0)
    assert (told, ready.watched) == ([], {})


def test_end_is_readable(ready: Readiness, pair: tuple[socket.socket, socket.socket]) -> None:
    told: list[bytes] = []
    ready.watch(pair[0].fileno(), 0, lambda: told.append(pair[0].recv(1)))
    pair[1].shutdown(socket.SHUT_WR)
    ready.serve(1)
    assert told == [b""]


def test_own_descriptor_tells(ready: Readiness, pair: tuple[socket.socket, socket.socket]) -> None:
    """So that another loop may watch the whole set."""
    ready.watch(pair[0].fileno(), 0, lambda: None)
    before = select.select([ready.fileno()], [], [], 0)[0]
    pair[1].send(b"x")
    assert (before, select.select([ready.fileno()], [], [], 20)[0]) == ([], [ready.fileno()])
