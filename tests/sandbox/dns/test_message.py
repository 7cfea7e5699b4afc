"""How long an answer may be kept."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.sandbox.dns import message
from tests.sandbox.dns.messages import query, record, response, soa


def test_least_life_counts() -> None:
    assert message.read(response(query(), record(30), record(5))).seconds == 5


@pytest.mark.parametrize(("seconds", "minimum", "kept"), [(30, 5, 5), (5, 30, 5), (0, 30, 0)])
def test_no_such_name_lives_as_its_soa_says(seconds: int, minimum: int, kept: int) -> None:
    assert message.read(response(query(), authority=(soa(seconds, minimum),), code=3)).seconds == kept


@pytest.mark.parametrize(
    "answer",
    [
        response(query(), record(30), code=2),
        response(query(), record(30), flags=0x8380),
        response(query(), code=3),
        response(query()),
        response(query(), record(0)),
    ],
    ids=["server failed", "cut off", "no SOA", "empty", "no life"],
)
def test_others_are_not_kept(answer: bytes) -> None:
    assert message.read(answer).seconds == 0


def test_ages_and_takes_its_number() -> None:
    kept = response(query(), record(30), record(3))
    aged = message.aged(kept, b"\x12\x34", message.read(kept).lives, 10)
    assert aged[:2] == b"\x12\x34"
    assert aged == response(b"\x12\x34" + query()[2:], record(20), record(0))


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        message.read(data)
        message.question(data)
    except message.BadMessage:
        return
