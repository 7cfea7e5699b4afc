"""What the kubelet hears, and how long it waits for it: an early readiness probe is answered when there is an answer."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from agent import health as health_module
from agent.health import MOST_AT_ONCE, MOST_HEAD, Health
from agent.listener import Listener
from tests.tunnel.muxes import Bench

OK = b"HTTP/1.1 200 OK"
NOT_READY = b"HTTP/1.1 503 Service Unavailable"


class Pod:
    """A health port, and whether the pod is ready."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.ready = self.ending = False
        self.health = Health(bench.poller, lambda: self.ready, lambda: self.ending)
        self.listener = Listener(bench.poller, "127.0.0.1", 0, self.health.arrived)
        self.address = self.listener._sock.getsockname()

    def probe(self, path: str = "/ready", *, rest: bytes = b" HTTP/1.1\r\nHost: x\r\n\r\n") -> socket.socket:
        sock = socket.create_connection(self.address)
        self.bench._kept.append(sock)
        sock.sendall(b"GET " + path.encode() + rest)
        sock.setblocking(False)
        return sock

    def answer(self, sock: socket.socket) -> bytes:
        """The status line, once all of it is there and the connection has ended."""
        answer = self.bench.read(sock, 10_000)
        head, _, body = answer.partition(b"\r\n\r\n")
        if answer:
            assert b"Content-Length: %d" % len(body) in head
        return head.split(b"\r\n")[0]

    def waits(self, *socks: socket.socket) -> bool:
        """Whether none of them has got anything, nor an end, after everything under way has arrived."""
        self.bench.idle()
        for sock in socks:
            try:
                sock.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                continue
            return False
        return True

    def become_ready(self) -> None:
        self.ready = True
        self.health.look_again()


@pytest.fixture
def pod() -> Iterator[Pod]:
    bench = Bench()
    pod = Pod(bench)
    yield pod
    pod.listener.close()
    for request in list(pod.health._open):
        request.end()
    bench.close()


@pytest.mark.parametrize(
    ("path", "status"), [("/live", OK), ("/started", OK), ("/", NOT_READY), ("/nothing", NOT_READY)]
)
def test_answers_at_once(pod: Pod, path: str, status: bytes) -> None:
    assert pod.answer(pod.probe(path)) == status


def test_ready_pod_answers_at_once(pod: Pod) -> None:
    pod.ready = True
    assert pod.answer(pod.probe()) == OK


def test_early_probe_waits_for_its_answer(pod: Pod) -> None:
    early = [pod.probe(), pod.probe()]
    assert pod.waits(*early)
    pod.become_ready()
    assert [pod.answer(sock) for sock in early] == [OK, OK]


def test_look_without_news_changes_nothing(pod: Pod) -> None:
    early = pod.probe()
    assert pod.waits(early)
    pod.health.look_again()
    assert pod.waits(early)


def test_waiting_ends_before_the_kubelet_gives_up(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "READY_WAIT", 0.05)
    assert pod.answer(pod.probe()) == NOT_READY


def test_wait_is_shorter_than_the_probes_timeout() -> None:
    """`swap` writes timeoutSeconds 5; a probe without an answer would count as a failure of the pod's network."""
    assert 0 < health_module.READY_WAIT <= 4.5


def test_others_pass_one_that_waits(pod: Pod) -> None:
    early = pod.probe()
    assert pod.waits(early)
    assert pod.answer(pod.probe("/live")) == OK
    assert pod.waits(early)


def test_ending_pod_is_refused_at_once(pod: Pod) -> None:
    pod.ready = True
    assert pod.answer(pod.probe()) == OK
    pod.ready, pod.ending = False, True  # the pod drains
    assert pod.answer(pod.probe()) == NOT_READY
    assert pod.answer(pod.probe("/live")) == OK


def test_end_of_the_pod_ends_the_wait(pod: Pod) -> None:
    early = pod.probe()
    assert pod.waits(early)
    pod.ending = True
    pod.health.look_again()
    assert pod.answer(early) == NOT_READY


def test_head_may_come_in_pieces(pod: Pod) -> None:
    sock = pod.probe("/re", rest=b"")
    assert pod.waits(sock)
    sock.send(b"ady HTTP/1.1\r\n")
    assert pod.waits(sock)
    pod.become_ready()
    assert pod.waits(sock)  # not asked yet
    sock.send(b"\r\n")
    assert pod.answer(sock) == OK


def test_talking_on_ends_the_wait(pod: Pod) -> None:
    """A waiting probe has asked all it may: what it says beyond that is not kept."""
    early = pod.probe()
    assert pod.waits(early)
    early.send(b"x" * 100)
    assert pod.answer(early) == NOT_READY


def test_endless_head_is_cut(pod: Pod) -> None:
    begin = b"GET /ready HTTP/1.1\r\n"
    sock = pod.probe("/ready", rest=b" HTTP/1.1\r\n" + b"x" * (MOST_HEAD - len(begin) - 1))
    assert pod.waits(sock)
    sock.send(b"x")
    assert pod.answer(sock) == NOT_READY


def test_silent_caller_is_ended(pod: Pod, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "PATIENCE", 0.05)
    assert pod.answer(pod.probe("", rest=b"")) == NOT_READY


def test_kubelet_that_gives_up_costs_nothing(pod: Pod) -> None:
    early = pod.probe()
    assert pod.waits(early)
    early.close()
    pod.bench.until(lambda: not pod.health._open)
    pod.become_ready()
    assert pod.answer(pod.probe()) == OK


def test_oldest_makes_room(pod: Pod) -> None:
    """Somebody who only connects can't keep the kubelet away."""
    silent = [pod.probe("", rest=b"") for _ in range(MOST_AT_ONCE)]
    assert pod.waits(*silent)  # and what they said was read: a close would reset it away
    early = pod.probe()
    assert pod.answer(silent[0]) == NOT_READY
    assert pod.waits(early, *silent[1:])
    pod.become_ready()
    assert pod.answer(early) == OK
    assert pod.waits(*silent[1:])
    assert len(pod.health._open) == MOST_AT_ONCE - 1


def test_nothing_is_left_open(pod: Pod) -> None:
    for path in ("/live", "/ready", "/started"):
        pod.probe(path)
    pod.bench.until(lambda: len(pod.health._open) == 1)
    pod.become_ready()
    assert not pod.health._open


def test_page_is_for_those_inside(pod: Pod) -> None:
    """It may come later; a caller from elsewhere is not told that there is one."""
    asked: list[Callable[[bytes], None]] = []
    pod.health.pages = {b"/status": asked.append}
    first = pod.probe("/status")
    assert pod.waits(first)
    assert pod.answer(pod.probe("/live")) == OK
    (tell,) = asked
    tell(b"{}")
    assert pod.bench.read(first, 10_000).endswith(b"Content-Length: 2\r\n\r\n{}")
    ours, theirs = socket.socketpair()
    pod.bench._kept += [ours, theirs]
    theirs.setblocking(False)
    pod.health.arrived(theirs, ("10.0.0.7", 4711))
    ours.sendall(b"GET /status HTTP/1.1\r\n\r\n")
    ours.setblocking(False)
    assert pod.answer(ours) == NOT_READY
    assert len(asked) == 1


def test_page_nobody_waits_for_costs_nothing(pod: Pod) -> None:
    asked: list[Callable[[bytes], None]] = []
    pod.health.pages = {b"/status": asked.append}
    gone = pod.probe("/status")
    assert pod.waits(gone)
    gone.close()
    pod.bench.until(lambda: not pod.health._open)
    asked[0](b"{}")
    assert pod.answer(pod.probe("/live")) == OK
