"""What a layer of a tunnel is: bytes from below in, bytes for above out, no I/O; `tunnel` stacks and drives them.

A driver owns one socket and a list of layers, outermost first. Its duties, for each layer:

- bytes read from the socket go through `receive` of each layer in turn; after each `receive`, also one that raised,
  what `pending` returns is sent (through the layers outside of it) ahead of anything else;
- `send` goes the other way, innermost first, and takes all it is given: the driver bounds what it hands in;
- at the socket's end of file, and when one layer has ended, `receive(b"")` is called on all of them, because an end
  found behind data in the same read is only raised by the next call: data first, then the reason. The innermost layer
  that has one was the first to read its end, so its reason is the one to tell.
"""

from __future__ import annotations

from typing import Protocol

Buffer = bytes | bytearray | memoryview

EMPTY = memoryview(b"")


class LayerClosed(Exception):
    """The peer ended this layer in order (close_notify, WebSocket close); nothing more will come."""

    def __init__(self, text: str, *, code: int = 0, reason: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.code = code
        self.reason = reason


class LayerError(Exception):
    """The peer broke this layer's rules, refused us, or reported a failure; `text` says which, for people."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Layer(Protocol):
    """One coat around the bytes of a tunnel."""

    @property
    def ready(self) -> bool:
        """Whether the handshake is done: only then may `send` be called."""

    def receive(self, data: memoryview) -> memoryview:
        """Take bytes from below, return those for the layer above: empty if there are none yet.

        The view is valid until the next `receive`, and may point into `data`. Raises LayerClosed or LayerError when
        this layer has ended, and again at every later call.
        """

    def send(self, data: Buffer) -> Buffer:
        """Encode bytes from above, all of them; what is returned belongs to the caller."""

    def pending(self) -> bytes:
        """Bytes this layer itself wants sent now: handshake, alert, pong, close. Taken, not peeked."""

    def close(self) -> bytes:
        """The bytes of an orderly end; nothing may be sent after it."""
