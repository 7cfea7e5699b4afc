"""A WebSocket that carries one port-forward: RFC 6455 and `v4.channel.k8s.io`; opened by `kube.portforward`.

The protocol of the Kubernetes API, for one port: each binary message begins with a channel byte, 0 for data and 1
for the text of an error. The server's first two bytes on either channel are the port, little-endian. There is no
half-close, and an orderly end is the WebSocket's.

Received payload is passed on as it comes, in whatever pieces: nothing is reassembled. When one read holds the
payload of several messages it is joined in one buffer; when it holds one, the view returned points into what was
given.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from interceptor.wire.layer import EMPTY, Buffer, LayerClosed, LayerError

# Messages of 256 KiB never arrive: containerd 1.6 stalls (measured). With its header a message fills exactly four TLS
# records: a fifth of a few bytes would cost every hop a read and a write of its own.
HEADER = 8
MESSAGE = 65536 - HEADER  # with the channel byte
CAPACITY = 272 * 1024
ERROR_TEXT = 4096  # an error is a line; more is cut

CONTINUATION, BINARY, CLOSE, PING, PONG = 0x0, 0x2, 0x8, 0x9, 0xA
DATA_CHANNEL, ERROR_CHANNEL = 0, 1

Masker = Callable[[bytes, bytearray], None]


def xor_mask(key: bytes, data: bytearray) -> None:
    """Mask in place without a C extension: some 90 times slower than aiohttp's, and as fast as Python can."""
    size = len(data)
    pad = (key * (size // 4 + 1))[:size]
    data[:] = (int.from_bytes(data, "little") ^ int.from_bytes(pad, "little")).to_bytes(size, "little")


class PortForwardLayer:
    """The client's end of a port-forward of exactly one port, after the HTTP upgrade."""

    ready = True

    def __init__(self, mask: Masker = xor_mask) -> None:
        self._mask = mask
        self._buffer = memoryview(bytearray(CAPACITY))
        self._end: LayerClosed | LayerError | None = None
        self._answer = b""
        self._sent_close = False
        # Where the parser is: a partly read header; the frame's opcode and what is left of it; the message around it.
        self._header = bytearray()
        self._opcode = -1
        self._left = 0
        self._final = False
        self._control = bytearray()
        self._in_message = False
        self._channel = -1  # -1: the message's first byte has not come yet
        self._port_left = [2, 2]
        self._error = bytearray()

    # -- to the server ----------------------------------------------------------------------------------------------

    def send(self, data: Buffer) -> bytearray | bytes:
        """Wrap `data` in messages on the data channel, masked with a fresh key each."""
        size = len(data)
        if size < MESSAGE:  # so that with the channel byte it is at most MESSAGE
            return self._message(data) if size else b""
        view = memoryview(data)
        step = MESSAGE - 1
        return b"".join([self._message(view[at : at + step]) for at in range(0, size, step)])

    def pending(self) -> bytes:
        """A pong, or the answer to a close."""
        answer, self._answer = self._answer, b""
        return answer

    def close(self) -> bytes:
        """A close frame with 1000, behind whatever is pending; empty if one was sent already."""
        frame = b"" if self._sent_close else self._control_frame(CLOSE, b"\x03\xe8")
        self._sent_close = True
        return self.pending() + frame

    def _message(self, payload: Buffer) -> bytearray:
        """One masked binary message, with its header written over bytes that were masked along with the payload.

        A masker works on a whole bytearray, so room for the header is part of it: no copy of the payload is needed
        after masking. The key is turned so that it is in phase where the payload begins.
        """
        size = len(payload) + 1
        key = os.urandom(4)
        if size < 126:
            message = bytearray(7)
            message += payload
            self._mask(key[2:] + key[:2], message)
            message[0:7] = bytes((0x82, 0x80 | size, *key, key[0]))
        else:
            message = bytearray(HEADER + 1)
            message += payload
            self._mask(key, message)
            message[0 : HEADER + 1] = bytes((0x82, 0xFE, size >> 8, size & 0xFF, *key, key[0]))
        return message

    def _control_frame(self, opcode: int, payload: bytes) -> bytes:
        key = os.urandom(4)
        masked = bytearray(payload)
        if masked:
            xor_mask(key, masked)
        return bytes((0x80 | opcode, 0x80 | len(payload))) + key + masked

    # -- from the server --------------------------------------------------------------------------------------------

    def receive(self, data: memoryview) -> memoryview:
        """Strip frames, channels and ports; answer pings; raise the error channel's text verbatim."""
        if self._end is not None:
            raise self._end
        payload = self._parse(data)
        if payload:
            return payload
        if self._end is not None:
            raise self._end
        return EMPTY

    def _parse(self, data: memoryview) -> memoryview:
        first = EMPTY  # the only piece of payload, as long as there is only one
        filled = 0  # else: how much of the buffer is filled
        at, size = 0, len(data)
        try:
            while at < size:
                if self._opcode < 0:
                    at = self._read_header(data, at, size)
                    continue
                stop = min(size, at + self._left)
                self._left -= stop - at
                piece = data[at:stop]
                at = stop
                if self._opcode >= CLOSE:
                    self._control += piece
                else:
                    piece = self._strip(piece)
                    if self._channel == ERROR_CHANNEL:
                        self._error += piece[: ERROR_TEXT - len(self._error)]
                    elif filled:
                        filled = self._append(piece, filled)
                    elif not first:
                        first = piece
                    elif piece:
                        filled = self._append(piece, self._append(first, 0))
                if not self._left:
                    self._frame_done()
        except (LayerClosed, LayerError) as end:
            self._end = end
        return self._buffer[:filled] if filled else first

    def _append(self, piece: memoryview, filled: int) -> int:
        stop = filled + len(piece)
        if stop > len(self._buffer):
            bigger = memoryview(bytearray(2 * stop))
            bigger[:filled] = self._buffer[:filled]
            self._buffer = bigger
        self._buffer[filled:stop] = piece
        return stop

    def _read_header(self, data: memoryview, at: int, size: int) -> int:
        """Read a frame's header, if it is all there; return where its payload begins."""
        kept = len(self._header)
        if not kept and size - at >= 4 and data[at] == 0x82 and not self._in_message:
            # By far the most frames are this: a whole binary message of less than 64 KiB. No need for slices.
            length, need = data[at + 1], 2
            if length == 126:
                length, need = data[at + 2] << 8 | data[at + 3], 4
            if length > 0 and data[at + 1] < 127:
                self._opcode, self._left, self._final = BINARY, length, True
                self._in_message, self._channel = True, -1
                return at + need
        header = self._header + data[at : at + 10 - kept]
        short = header[1] & 0x7F if len(header) > 1 else 0
        need = 2 if short < 126 else 4 if short == 126 else 10
        if len(header) < need:
            self._header = header
            return size
        self._header = bytearray()
        length = int.from_bytes(header[2:need], "big") if need > 2 else header[1]
        self._frame_begins(header[0], header[1], length)
        if not length:
            self._frame_done()
        return at + need - kept

    def _frame_begins(self, byte0: int, byte1: int, length: int) -> None:
        opcode = byte0 & 0x0F
        if byte0 & 0x70:
            raise LayerError("WebSocket: reserved bits are set")
        if byte1 & 0x80:
            raise LayerError("WebSocket: the server masked a frame")
        if length >> 63:
            raise LayerError("WebSocket: a length above 63 bits")
        self._final = bool(byte0 & 0x80)
        if opcode in (CLOSE, PING, PONG):
            if length > 125 or not self._final:
                raise LayerError("WebSocket: a control frame too long or in fragments")
        elif opcode == BINARY:
            if self._in_message:
                raise LayerError("WebSocket: a message began inside another")
            self._in_message = True
            self._channel = -1
        elif opcode != CONTINUATION:
            raise LayerError(f"WebSocket: unexpected opcode {opcode}")
        elif not self._in_message:
            raise LayerError("WebSocket: a continuation of nothing")
        self._opcode = opcode
        self._left = length

    def _strip(self, piece: memoryview) -> memoryview:
        """Take the message's channel byte and the channel's port off the front."""
        if self._channel < 0:
            self._channel = piece[0]
            if self._channel > ERROR_CHANNEL:
                raise LayerError(f"port-forward: data on unknown channel {self._channel}")
            piece = piece[1:]
        port_left = self._port_left[self._channel]
        if port_left and piece:
            taken = min(port_left, len(piece))
            self._port_left[self._channel] -= taken
            piece = piece[taken:]
        return piece

    def _frame_done(self) -> None:
        opcode, self._opcode = self._opcode, -1
        if opcode < CLOSE:
            if self._final:
                self._in_message = False
                if self._error:
                    raise LayerError(self._error.decode(errors="replace").strip())
            return
        payload = bytes(self._control)
        self._control.clear()
        if opcode == PING:
            self._answer = self._control_frame(PONG, payload)  # only the last ping of a read needs an answer
        elif opcode == CLOSE:
            self._closed(payload)

    def _closed(self, payload: bytes) -> None:
        if len(payload) == 1:
            raise LayerError("WebSocket: a close frame with half a code")
        if not self._sent_close:
            self._answer += self._control_frame(CLOSE, payload[:2])
            self._sent_close = True
        code = int.from_bytes(payload[:2], "big") if payload else 1005  # 1005: none was given
        reason = payload[2:].decode(errors="replace")
        raise LayerClosed(f"WebSocket closed: {code} {reason}".rstrip(), code=code, reason=reason)
