from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.devcluster.stream import spdy

HEADERS = {"streamtype": "data", "port": "8080", "requestid": "0"}


def test_dictionary_is_the_standard_one() -> None:
    """Its checksum is what compressed headers begin with on the wire."""
    assert zlib.adler32(spdy.DICTIONARY) == 0xE3C6A7C2


@given(
    st.lists(st.dictionaries(st.text("abc", min_size=1), st.text(max_size=20), max_size=5), max_size=5),
    st.integers(1, 40),
)
def test_headers_survive_any_cut(blocks: list[dict[str, str]], size: int) -> None:
    ours, theirs = spdy.Codec(), spdy.Codec()
    wire = b"".join(ours.syn_stream(2 * index + 1, headers) for index, headers in enumerate(blocks))
    wire += ours.data(1, b"hello", fin=True) + ours.reset(3) + ours.ping(b"\0\0\0\7")
    frames = [frame for at in range(0, len(wire), size) for frame in theirs.feed(wire[at : at + size])]
    assert [frame.headers for frame in frames[: len(blocks)]] == blocks
    data, reset, ping = frames[len(blocks) :]
    assert (data.kind, data.stream, data.data, data.flags) == (0, 1, b"hello", spdy.FIN)
    assert (reset.kind, reset.stream, reset.code) == (spdy.RST_STREAM, 3, spdy.CANCEL)
    assert (ping.kind, ping.data) == (spdy.PING, b"\0\0\0\7")


def test_bad_headers_end_it() -> None:
    codec = spdy.Codec()
    frame = bytearray(codec.syn_stream(1, HEADERS))
    frame[-8:] = b"\xff" * 8
    with pytest.raises(spdy.SpdyError):
        list(spdy.Codec().feed(bytes(frame)))


def test_huge_frame_refused() -> None:
    with pytest.raises(spdy.SpdyError):
        list(spdy.Codec().feed(b"\0\0\0\1\0\xff\xff\xff"))
