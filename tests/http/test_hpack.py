"""Header blocks decode as the reference implementation encodes them."""

from __future__ import annotations

import pytest
from hpack import Encoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.http import huffman
from interceptor.http.exchange import Unreadable
from interceptor.http.hpack import LARGEST_TABLE, STATIC, Decoder

NAMES = st.sampled_from([":path", "cookie", "x-a", "x-b", "content-length", "grpc-timeout"])
VALUES = st.binary(max_size=60).filter(lambda value: not set(value) & {0, 10, 13})
HEADERS = st.lists(st.tuples(NAMES, VALUES, st.booleans()), max_size=12)


def test_huffman_table() -> None:
    codes = {symbol: code for code, symbol in huffman.codes().items()}
    assert codes == {symbol: (REQUEST_CODES_LENGTH[symbol], REQUEST_CODES[symbol]) for symbol in range(257)}


def test_static_table() -> None:
    assert len(STATIC) == 61
    assert (STATIC[0], STATIC[7], STATIC[60]) == ((":authority", ""), (":status", "200"), ("www-authenticate", ""))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(HEADERS, st.booleans(), st.sampled_from([None, 0, 60, 200, 4096])), min_size=1, max_size=8))
def test_as_encoded(blocks: list[tuple[list[tuple[str, bytes, bool]], bool, int | None]]) -> None:
    encoder, decoder = Encoder(), Decoder()
    for headers, coded, table in blocks:
        if table is not None:
            encoder.header_table_size = table
        for _ in range(3):  # the same headers again become a block that is remembered
            block = encoder.encode([(name.encode(), value, secret) for name, value, secret in headers], huffman=coded)
            found = decoder.decode(block)
            assert [(name, value.encode("latin-1")) for name, value in found] == [one[:2] for one in headers]
            assert not decoder.doubts


@settings(deadline=None)
@given(st.binary(max_size=40))
def test_garbage(block: bytes) -> None:
    try:
        Decoder().decode(block)
    except Unreadable:
        return


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (b"\x80", "a header refers to one we have not seen"),
        (b"\xbe", "a header refers to one we have not seen"),
        (b"\xff\xff\xff\xff\xff\xff", "a header with a huge number in it"),
        (b"\x00\x05ab", "a header block breaks off"),
        (b"\x00", "a header block breaks off"),
        (b"\x7f", "a header block breaks off"),
        (b"\x00\x84\xff\xff\xff\xff\x00", "a header with the Huffman code's end in it"),
        (b"\x00\x81\x00\x00", "a header whose Huffman code breaks off"),
        (b"\x3f" + b"\xe2\xff\x03", "a header table of 65537 bytes"),
    ],
)
def test_unreadable(block: bytes, why: str) -> None:
    assert LARGEST_TABLE == 65536
    with pytest.raises(Unreadable, match=why):
        Decoder().decode(block)


def test_bomb_is_dropped() -> None:
    decoder = Decoder()
    large = b"\x40\x01a" + b"\x7f\xa1\x1e" + b"v" * 4000
    assert len(decoder.decode(large)) == 1
    fields = decoder.decode(b"\xbe" * 60_000)
    assert sum(len(name) + len(value) for name, value in fields) <= 256 * 1024
    assert decoder.doubts == ["more than 256 KiB of headers; the rest is not shown"]


def test_odd_fields_are_noted() -> None:
    decoder = Decoder()
    decoder.decode(b"\x00\x02Ab\x03x\r\n")
    assert decoder.doubts == ["a header named 'Ab'", "a line end or NUL in 'Ab'"]
    decoder.decode(b"\x82")
    assert decoder.doubts == []
