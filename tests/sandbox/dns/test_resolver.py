"""Questions of many programs over one flow."""

from collections.abc import Callable
from functools import partial

import pytest

from interceptor.sandbox.dns.cache import Cache
from interceptor.sandbox.dns.resolver import Resolver, servers
from tests.sandbox.dns.messages import query, record, response


class Server:
    """The far end of the flow: what was asked, and a way to answer."""

    def __init__(self, answer: Callable[[bytes | None], None]) -> None:
        self.answer = answer
        self.asked: list[bytes] = []

    def send(self, datagram: bytes) -> None:
        self.asked.append(datagram)


@pytest.fixture
async def scene() -> tuple[Resolver, Server]:
    made: list[Server] = []

    def flow(answer: Callable[[bytes | None], None]) -> Server:
        made.append(Server(answer))
        return made[0]

    return Resolver("10.96.0.10", Cache(), flow), made[0]


async def test_same_numbers_do_not_meet(scene: tuple[Resolver, Server]) -> None:
    resolver, server = scene
    heard: dict[str, bytes] = {}
    for text in ("a.shop", "b.shop"):
        resolver.ask(query(text, 7), partial(heard.__setitem__, text))
    first, second = server.asked
    assert first[:2] != second[:2]
    server.answer(response(second, record(30)))
    server.answer(response(first, record(5)))
    assert heard == {
        "a.shop": response(query("a.shop", 7), record(5)),
        "b.shop": response(query("b.shop", 7), record(30)),
    }


async def test_second_question_asks_nobody(scene: tuple[Resolver, Server]) -> None:
    resolver, server = scene
    heard: list[bytes] = []
    resolver.ask(query(number=1), heard.append)
    server.answer(response(server.asked[0], record(30)))
    resolver.ask(query(number=2), heard.append)
    assert heard == [response(query(number=1), record(30)), response(query(number=2), record(30))]
    assert len(server.asked) == 1


async def test_rubbish_is_lost(scene: tuple[Resolver, Server]) -> None:
    resolver, server = scene
    resolver.ask(b"rubbish", lambda _: None)
    server.answer(None)
    server.answer(b"")
    server.answer(response(query(number=3), record(30)))
    assert server.asked == []


def test_servers_are_read() -> None:
    text = "search shop\nnameserver 10.96.0.10\nnameserver FD00::A\nnameserver what\n# nameserver 1.1.1.1\n"
    assert servers(text) == ("10.96.0.10", "fd00::a")
