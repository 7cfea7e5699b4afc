"""SOCKS5's grammar: every split, every address type, and whatever else a client may send."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.sandbox.socks5 import Socks5Error, Target, code_of, greeting_length, parse_request
from interceptor.wire.reasons import Reason

NAMES = st.from_regex(r"[a-z0-9]([a-z0-9.-]{0,60}[a-z0-9])?", fullmatch=True)
PORTS = st.integers(0, 65535)


@given(NAMES, PORTS, st.binary(max_size=20))
def test_names_stay_names(name: str, port: int, rest: bytes) -> None:
    request = b"\x05\x01\x00\x03" + bytes([len(name)]) + name.encode() + port.to_bytes(2, "big")
    for cut in range(len(request)):
        assert parse_request(request[:cut]) is None
    assert parse_request(request + rest) == (Target(name, port), len(request))


@given(st.ip_addresses(), PORTS)
def test_addresses_are_read(address: object, port: int) -> None:
    packed: bytes = address.packed  # type: ignore[attr-defined]
    kind = 1 if len(packed) == 4 else 4
    request = bytes([5, 1, 0, kind]) + packed + port.to_bytes(2, "big")
    assert parse_request(request) == (Target(str(address), port), len(request))


@given(st.binary(max_size=300))
def test_any_bytes_are_judged(data: bytes) -> None:
    for parse in (greeting_length, parse_request):
        with suppress(Socks5Error):
            parse(data)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"\x05\x02\x00\x01\x7f\x00\x00\x01\x00\x50", 7),
        (b"\x05\x03\x00\x01\x7f\x00\x00\x01\x00\x50", 7),
        (b"\x05\x01\x00\x02\x7f\x00\x00\x01\x00\x50", 8),
        (b"\x05\x01\x00\x03\x00\x00\x50", 8),
        (b"\x05\x01\x00\x03\x03a b\x00\x50", 8),
        (b"\x05\x01\x00\x03\x02\xc3\xbc\x00\x50", 8),
        (b"\x04\x01\x00\x03\x01a\x00\x50", 1),
    ],
)
def test_refusal_is_coded(request_: bytes, code: int) -> None:
    with pytest.raises(Socks5Error) as caught:
        parse_request(request_)
    assert caught.value.reply == bytes([5, code, 0, 1]) + bytes(6)


def test_password_is_not_taken() -> None:
    with pytest.raises(Socks5Error) as caught:
        greeting_length(b"\x05\x01\x02")
    assert caught.value.reply == b"\x05\xff"
    assert greeting_length(b"\x05\x02\x02\x00") == 4


def test_every_reason_has_code() -> None:
    assert all(1 <= code_of(reason) <= 8 for reason in Reason)
