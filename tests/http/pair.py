"""Two h2 connections talking to each other: the reference for what a Watch should see."""

from __future__ import annotations

import h2.config
import h2.connection
import h2.events

Piece = tuple[str, bytes]


class Pair:
    """A caller and a server; `wire` has every byte in the order it passed."""

    def __init__(self) -> None:
        self.caller = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.wire: list[Piece] = []
        self.caller.initiate_connection()
        self.server.initiate_connection()
        self.settle()

    def settle(self) -> None:
        """Pass on what both have to say until they are quiet."""
        while True:
            asked, answered = self.caller.data_to_send(), self.server.data_to_send()
            if not asked and not answered:
                return
            if asked:
                self.wire.append((">", asked))
                self._acknowledge(self.server, self.server.receive_data(asked))
            if answered:
                self.wire.append(("<", answered))
                self._acknowledge(self.caller, self.caller.receive_data(answered))

    @staticmethod
    def _acknowledge(end: h2.connection.H2Connection, happened: list[h2.events.Event]) -> None:
        for event in happened:
            if isinstance(event, h2.events.DataReceived) and event.flow_controlled_length:
                end.acknowledge_received_data(event.flow_controlled_length, event.stream_id)


def request_headers(method: str = "GET", path: str = "/", **more: str) -> list[tuple[str, str]]:
    """Fields of a request."""
    fixed = [(":method", method), (":scheme", "http"), (":authority", "shop:80"), (":path", path)]
    return fixed + [(name.replace("_", "-"), value) for name, value in more.items()]


def message(text: bytes) -> bytes:
    """A gRPC message."""
    return b"\0" + len(text).to_bytes(4, "big") + text
