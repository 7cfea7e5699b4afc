"""The port-forward WebSocket against a small server end written from RFC 6455, split at every position, and fuzzed."""

from __future__ import annotations

import struct

import pytest
from aiohttp._websocket.mask import _websocket_mask_cython
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.wire.layer import LayerClosed, LayerError
from interceptor.wire.websocket import CAPACITY, MESSAGE, Masker, PortForwardLayer, xor_mask

PORT = b"\x90\x1f"  # 8080, little-endian


def frame(payload: bytes, *, opcode: int = 2, final: bool = True) -> bytes:
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 65536:
        length = b"\x7e" + struct.pack(">H", size)
    else:
        length = b"\x7f" + struct.pack(">Q", size)
    return bytes([(0x80 if final else 0) | opcode]) + length + payload


def data(payload: bytes) -> bytes:
    return frame(b"\0" + payload)


OPENING = data(PORT) + frame(b"\1" + PORT)


def unmask(stream: bytes) -> list[tuple[int, bytes]]:
    """What a server reads: opcode and payload of every frame a client sent."""
    frames = []
    while stream:
        size, at = stream[1] & 0x7F, 2
        assert stream[1] & 0x80, "a client's frame must be masked"
        assert size != 127, "a message above 64 KiB"
        if size == 126:
            size, at = int.from_bytes(stream[2:4], "big"), 4
        key, body = stream[at : at + 4], stream[at + 4 : at + 4 + size]
        frames.append((stream[0], bytes(byte ^ key[index % 4] for index, byte in enumerate(body))))
        stream = stream[at + 4 + size :]
    return frames


def opened() -> PortForwardLayer:
    layer = PortForwardLayer()
    assert not layer.receive(memoryview(OPENING))
    return layer


def hear(layer: PortForwardLayer, *pieces: bytes) -> bytes:
    return b"".join(bytes(layer.receive(memoryview(piece))) for piece in pieces)


@pytest.mark.parametrize("mask", [xor_mask, _websocket_mask_cython])
@pytest.mark.parametrize("size", [1, 2, 3, 124, 125, 126, 127, 1000, MESSAGE - 1, MESSAGE, 2 * MESSAGE, 200_000])
def test_sent_words_reach_the_server(mask: Masker, size: int) -> None:
    words = bytes(range(251)) * (size // 251 + 1)
    sent = bytes(PortForwardLayer(mask).send(memoryview(words)[:size]))
    frames = unmask(sent)
    assert len(sent) <= 65536 or len(frames) > 1
    assert all(opcode == 0x82 and payload[:1] == b"\0" and len(payload) <= MESSAGE for opcode, payload in frames)
    assert b"".join(payload[1:] for _, payload in frames) == words[:size]


def test_nothing_makes_no_message() -> None:
    assert not PortForwardLayer().send(b"")


def test_masks_are_fresh() -> None:
    layer = PortForwardLayer()
    assert len({bytes(layer.send(b"same words")[2:6]) for _ in range(20)}) == 20


def test_ports_are_swallowed() -> None:
    assert hear(PortForwardLayer(), OPENING + data(b"words")) == b"words"
    assert hear(PortForwardLayer(), data(PORT + b"words")) == b"words"


def test_one_message_is_not_copied() -> None:
    received = memoryview(data(b"words"))
    assert opened().receive(received).obj is received.obj


def test_many_messages_are_joined() -> None:
    words = [bytes([index]) * 40_000 for index in range(20)]  # more than the buffer, so it grows
    assert sum(map(len, words)) > CAPACITY
    assert hear(opened(), b"".join(map(data, words))) == b"".join(words)


def test_every_split_hears_the_same() -> None:
    stream = (
        OPENING
        + data(b"a" * 130)
        + frame(b"ping", opcode=9)
        + frame(b"\0one ", final=False)
        + frame(b"", opcode=10)
        + frame(b"two ", opcode=0, final=False)
        + frame(b"three", opcode=0)
        + frame(b"")
        + data(b"")
        + frame(b"\1")
        + data(b"end")
    )
    for first in range(len(stream)):
        for second in range(first, len(stream), 7):
            layer = PortForwardLayer()
            heard = hear(layer, stream[:first], stream[first:second], stream[second:])
            assert heard == b"a" * 130 + b"one two three" + b"end"
            assert unmask(layer.pending()) == [(0x8A, b"ping")]


def test_long_lengths_are_read() -> None:
    words = bytes(70_000)
    stream = OPENING + data(words) + data(b"after")
    assert hear(PortForwardLayer(), *[stream[at : at + 999] for at in range(0, len(stream), 999)]) == words + b"after"


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=8), st.data())
def test_any_cut_hears_the_same(words: list[bytes], choice: st.DataObject) -> None:
    stream = OPENING
    for word in words:
        cut = choice.draw(st.integers(0, len(word)))
        stream += frame(b"\0" + word[:cut], final=False) + frame(word[cut:], opcode=0)
    ends = sorted(choice.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    pieces = [stream[a:b] for a, b in zip([0, *ends], [*ends, len(stream)], strict=True)]
    assert hear(PortForwardLayer(), *pieces) == b"".join(words)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.binary(max_size=60), max_size=10))
def test_noise_only_raises_layer_ends(pieces: list[bytes]) -> None:
    layer = PortForwardLayer()
    try:
        for piece in pieces:
            assert len(layer.receive(memoryview(piece))) <= len(piece)
    except (LayerClosed, LayerError):
        pass
    unmask(layer.pending())


def test_error_channel_is_told_verbatim() -> None:
    text = "error forwarding port 8080 to pod abc: connection refused"
    error = frame(b"\1" + text.encode())
    for cut in range(len(error)):
        layer = opened()
        with pytest.raises(LayerError) as told:
            hear(layer, error[:cut], error[cut:])
        assert told.value.text == text


def test_long_error_is_cut() -> None:
    with pytest.raises(LayerError) as told:
        hear(opened(), frame(b"\1" + b"x" * 50_000))
    assert len(told.value.text) == 4096


def test_words_before_an_end_are_heard() -> None:
    for end, error in ((frame(b"\3\xe8bye", opcode=8), LayerClosed), (frame(b"\1broken"), LayerError)):
        layer = opened()
        assert hear(layer, data(b"one") + data(b"two") + end + data(b"never")) == b"onetwo"
        with pytest.raises(error):
            layer.receive(memoryview(b""))


def test_close_tells_code_and_reason() -> None:
    layer = opened()
    with pytest.raises(LayerClosed) as told:
        hear(layer, frame(struct.pack(">H", 1011) + b"tunnel broke", opcode=8))
    assert (told.value.code, told.value.reason) == (1011, "tunnel broke")
    assert unmask(layer.pending()) == [(0x88, b"\x03\xf3")]
    assert layer.close() == b""  # answered already


def test_close_without_code_is_heard() -> None:
    with pytest.raises(LayerClosed) as told:
        hear(opened(), frame(b"", opcode=8))
    assert told.value.code == 1005


def test_own_close_is_sent_once() -> None:
    layer = opened()
    assert unmask(layer.close()) == [(0x88, b"\x03\xe8")]
    assert layer.close() == b""
    with pytest.raises(LayerClosed):
        hear(layer, frame(b"\x03\xe8", opcode=8))
    assert layer.pending() == b""


def test_last_ping_is_answered() -> None:
    layer = opened()
    hear(layer, b"".join(frame(b"%d" % count, opcode=9) for count in range(1000)))
    assert unmask(layer.pending()) == [(0x8A, b"999")]
    assert layer.pending() == b""


@pytest.mark.parametrize(
    ("stream", "words"),
    [
        (b"\x82\x81\0\0\0\0\0", "masked"),
        (b"\xc2\x01\0", "reserved bits"),
        (b"\x81\x01\0", "unexpected opcode 1"),
        (b"\x83\x00", "unexpected opcode 3"),
        (b"\x80\x01\0", "continuation of nothing"),
        (frame(b"\0a", final=False) + data(b"b"), "inside another"),
        (frame(b"", opcode=9, final=False), "in fragments"),
        (b"\x89\x7e\x00\x80", "too long"),
        (b"\x82\x7f" + b"\xff" * 8, "63 bits"),
        (frame(b"\2words"), "unknown channel 2"),
        (frame(b"\3", opcode=8), "half a code"),
    ],
)
def test_violations_are_named(stream: bytes, words: str) -> None:
    for cut in range(len(stream)):
        layer = opened()
        with pytest.raises(LayerError, match=words):
            hear(layer, stream[:cut], stream[cut:], b"")
        with pytest.raises(LayerError):
            layer.receive(memoryview(b""))
