"""TLS as a layer, on an in-memory SSL object; `tunnel` drives one towards the API server and one towards the agent.

Why not `ssl.SSLSocket` or asyncio's transport: the inner TLS has no socket of its own, asyncio keeps 256 KiB per
connection, and both hand out one `bytes` object per record. Here all records of a read land in one buffer.

What is easy to get wrong, and where it is dealt with:
- the peer's first data may arrive together with the end of its handshake, and no socket event follows: `receive` always
  reads on after the handshake;
- `SSLObject.read` returns one record (16 KiB at most) a call: it is called until it wants more bytes;
- in TLS 1.3 a refused client certificate is only told after our handshake is done: it arrives here as LayerError from a
  later `receive`;
- a failed handshake leaves an alert for the peer in `pending`.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable

from interceptor.wire.layer import EMPTY, Buffer, LayerClosed, LayerError

# The decoded bytes of one socket read of 256 KiB (TLS is fastest there, measured) fit without growing. The pages of a
# buffer never filled cost nothing.
CAPACITY = 288 * 1024
RECORD = 16 * 1024  # the most that one holds


class TlsLayer:
    """One end of TLS. `server_hostname` is checked against the certificate when the context says so."""

    def __init__(self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self._buffer = memoryview(bytearray(CAPACITY))
        self._end: LayerClosed | LayerError | None = None
        self.ready = False
        self._handshake()  # the client's first bytes are pending from the start

    @property
    def tls(self) -> ssl.SSLObject:
        """The SSL object, for what it knows of the peer: certificate, version, ALPN."""
        return self._tls

    def receive(self, data: memoryview) -> memoryview:
        """Decode records; the view is of a buffer that the next call overwrites."""
        if self._end is not None:
            raise _again(self._end)
        self._incoming.write(data)
        if not self.ready:
            self._handshake()
        filled = self._drain() if self.ready else 0
        if filled:
            return self._buffer[:filled]
        if self._end is not None:
            raise _again(self._end)
        return EMPTY

    def send(self, data: Buffer) -> bytes:
        """Encrypt `data` into as many records as it needs."""
        if not self.ready:
            raise RuntimeError("TLS: send() before the handshake is done")
        if len(data):  # an empty write would be an empty record
            try:
                self._tls.write(data)  # a memory BIO takes everything, so the write is never partial
            except ssl.SSLError as error:
                raise _reason(error) from error
        return self._outgoing.read()

    def pending(self) -> bytes:
        """Handshake messages, session tickets, key updates and alerts."""
        return self._outgoing.read() if self._outgoing.pending else b""

    def close(self) -> bytes:
        """The close_notify alert, behind whatever is still pending."""
        if self.ready:
            with contextlib.suppress(ssl.SSLError):  # it always wants the peer's answer, which we don't wait for
                self._tls.unwrap()
        return self._outgoing.read()

    def _handshake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        except ssl.SSLError as error:
            self._end = _reason(error)
            return
        self.ready = True

    def _drain(self) -> int:
        """Read every whole record into the buffer, and return how many bytes that made."""
        # typeshed knows only the call without a buffer, which returns bytes; with one it is a count
        read: Callable[[int, memoryview], int] = self._tls.read  # type: ignore[assignment]
        buffer, capacity, filled = self._buffer, len(self._buffer), 0
        incoming = self._incoming
        try:
            while True:
                if capacity - filled < RECORD:
                    buffer, capacity = self._grow(filled)
                count = read(capacity - filled, buffer[filled:])
                if not count:
                    self._end = LayerClosed("TLS closed by the peer")
                    return filled
                filled += count
                if not incoming.pending:  # with room for a whole record nothing stays inside; asking costs an exception
                    return filled
        except ssl.SSLWantReadError:
            return filled
        except ssl.SSLZeroReturnError:
            self._end = LayerClosed("TLS closed by the peer")
        except ssl.SSLError as error:
            self._end = _reason(error)
        return filled

    def _grow(self, filled: int) -> tuple[memoryview, int]:
        bigger = memoryview(bytearray(2 * filled))
        bigger[:filled] = self._buffer[:filled]
        self._buffer = bigger
        return bigger, len(bigger)


def _again(end: LayerClosed | LayerError) -> LayerClosed | LayerError:
    """A fresh one each time: once raised, an error remembers its frames, and with them a layer's whole buffer."""
    return type(end)(end.text)


def _reason(error: ssl.SSLError) -> LayerError:
    """OpenSSL's words without its macro names and line numbers."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return LayerError(f"certificate verify failed: {error.verify_message}")
    words = (error.reason or str(error)).replace("_", " ").lower()
    for version in ("tlsv1 ", "tlsv13 ", "sslv3 "):
        if words.startswith(version + "alert "):
            return LayerError(f"TLS alert from the peer: {words[len(version + 'alert ') :]}")
    return LayerError(f"TLS: {words}")
