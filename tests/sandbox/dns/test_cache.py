"""Answers are kept as long as they live."""

from interceptor.sandbox.dns import cache
from interceptor.sandbox.dns.cache import Cache
from tests.sandbox.dns.messages import query, record, response

SERVER = "10.96.0.10"


def test_answer_is_kept_while_it_lives() -> None:
    kept = Cache()
    kept.keep(SERVER, query(), response(query(), record(30)), 100.0)
    assert kept.find(SERVER, query(number=9), 129.0) == response(query(number=9), record(1))
    assert kept.find(SERVER, query(number=9), 130.0) is None


def test_questions_are_told_apart() -> None:
    kept = Cache()
    kept.keep(SERVER, query(), response(query(), record(30)), 0.0)
    assert kept.find("10.96.0.11", query(), 1.0) is None
    assert kept.find(SERVER, query("other.shop"), 1.0) is None


def test_oldest_makes_room() -> None:
    kept = Cache()
    for number in range(cache.MOST + 1):
        kept.keep(SERVER, query(f"n{number}"), response(query(f"n{number}"), record(30)), 0.0)
    assert kept.find(SERVER, query("n0"), 1.0) is None
    assert kept.find(SERVER, query("n1"), 1.0) is not None


def test_large_answers_make_room() -> None:
    kept = Cache()
    for number in range(200):
        kept.keep(SERVER, query(f"n{number}"), response(query(f"n{number}"), record(30, bytes(60000), 16)), 0.0)
    held = [number for number in range(200) if kept.find(SERVER, query(f"n{number}"), 1.0) is not None]
    assert held == list(range(200 - cache.MOST_BYTES // 60100, 200))


def test_rubbish_is_not_kept() -> None:
    kept = Cache()
    kept.keep(SERVER, query(), b"rubbish", 0.0)
    assert kept.find(SERVER, query(), 0.0) is None
