"""Who may watch what a relay passes on; `relay` calls an Observer, `tunnel.client` asks a Watcher for one per stream.

Observers come after the bytes are on their way: they can neither change nor delay them, and must not raise or keep them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Observer(Protocol):
    """Watches one relayed connection."""

    def from_socket(self, data: memoryview, /) -> None:
        """Bytes that our socket sent, at least one; valid until this returns."""

    def to_socket(self, data: memoryview, /) -> None:
        """Bytes for our socket, at least one; valid until this returns."""

    def socket_ended(self) -> None:
        """Our socket sends no more."""

    def peer_ended(self) -> None:
        """The far end sends no more."""

    def finished(self) -> None:
        """The connection is over; called once."""


class Watcher(Protocol):
    """Says which streams of a tunnel are watched. `target` is that of the OPEN frame."""

    def inbound(self, target: Mapping[str, Any], /) -> Observer | None:
        """For a stream that the agent opens."""

    def outbound(self, target: Mapping[str, Any], /) -> Observer | None:
        """For a stream that we open."""
