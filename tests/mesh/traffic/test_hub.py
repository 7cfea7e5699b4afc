"""Pieces that wait are read soon, in order, and only so many wait."""

from __future__ import annotations

from collections.abc import Callable

from interceptor.mesh.traffic.hub import ASIDE, MANY_ASIDE, MOST_ASIDE, Hub, Observed

ASKED = memoryview(b"GET /books HTTP/1.1\r\nHost: books\r\n\r\n")
ANSWERED = memoryview(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class Later:
    """What a loop was asked to call."""

    def __init__(self) -> None:
        self.due: list[tuple[float, Callable[[], None]]] = []

    def __call__(self, seconds: float, call: Callable[[], None]) -> None:
        self.due.append((seconds, call))

    def pass_on(self) -> list[float]:
        """Call all of them; returns after how many seconds each was to be called."""
        due, self.due = self.due, []
        for _, call in due:
            call()
        return [seconds for seconds, _ in due]


def connection(hub: Hub) -> Observed:
    watched = hub.watcher("pod").inbound({"peer": "10.0.0.7:1", "port": 80})
    assert watched is not None
    return watched


def counted(hub: Hub) -> int:
    return sum(counts.success for counts in hub.traffic.total.values())


def ask(watched: Observed, times: int) -> None:
    for _ in range(times):
        watched.to_socket(ASKED)
        watched.from_socket(ANSWERED)


def test_one_timer_at_a_time() -> None:
    later = Later()
    hub = Hub(call_later=later)
    watched = connection(hub)
    ask(watched, 3)
    hub.catch_up()
    ask(watched, 2)
    assert counted(hub) == 3
    assert later.pass_on() == [ASIDE]
    assert counted(hub) == 5
    ask(watched, 1)
    assert later.pass_on() == [ASIDE]
    assert counted(hub) == 6


def test_many_are_read_after_the_pass() -> None:
    later = Later()
    hub = Hub(call_later=later)
    ask(connection(hub), MANY_ASIDE // 2)
    assert counted(hub) == 0
    assert later.pass_on() == [ASIDE, 0]
    assert counted(hub) == MANY_ASIDE // 2


def test_only_so_many_wait() -> None:
    hub = Hub(call_later=Later())
    ask(connection(hub), MOST_ASIDE // 2)
    assert counted(hub) == MOST_ASIDE // 2
