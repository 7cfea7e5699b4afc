"""One client's socket while `sandbox.proxy` still talks to it itself: reads with a bound, answers, hands over."""

import asyncio
import socket
from collections.abc import Callable
from typing import TypeVar

from interceptor.sandbox.http_connect import MAX_HEAD

Parsed = TypeVar("Parsed")

_CHUNK = 16 * 1024
_LINGER_SECONDS = 1.0


class HungUp(Exception):
    """The client left, or said nothing for too long."""


class Handshake:
    """Holds the socket and what was read from it and not taken yet."""

    def __init__(self, client: socket.socket) -> None:
        self._client: socket.socket | None = client
        self._data = bytearray()

    @property
    def data(self) -> bytes:
        """What the client has sent beyond what was taken."""
        return bytes(self._data)

    async def read(self) -> None:
        """Read once; never holds more than a head may have and one chunk."""
        try:
            chunk = await asyncio.get_running_loop().sock_recv(self._socket, _CHUNK)
        except OSError as error:
            raise HungUp from error
        if not chunk:
            raise HungUp
        self._data += chunk

    async def read_until(self, parse: Callable[[bytes], Parsed | None]) -> Parsed:
        """Read until `parse` finds in the data what it looks for; it raises when the data is too long for that."""
        while True:
            assert len(self._data) <= MAX_HEAD + _CHUNK
            parsed = parse(self.data)
            if parsed is not None:
                return parsed
            await self.read()

    def take(self, length: int) -> bytes:
        """Take that many bytes off the data."""
        taken = bytes(self._data[:length])
        del self._data[:length]
        return taken

    async def say(self, answer: bytes) -> None:
        """Send an answer."""
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, answer)
        except OSError as error:
            raise HungUp from error

    async def refuse(self, answer: bytes) -> None:
        """Send the last answer and see that it arrives.

        To close while bytes of the client are unread sends RST, and that can overtake the answer.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                await loop.sock_sendall(self._socket, answer)
                self._socket.shutdown(socket.SHUT_WR)
                while await loop.sock_recv(self._socket, _CHUNK):
                    pass
        except (OSError, TimeoutError):
            return  # it has the answer, or is gone

    def hand_over(self) -> socket.socket:
        """Give the socket away; from here on it is not ours to close."""
        client, self._client = self._socket, None
        return client

    def close(self) -> None:
        """Close the socket, unless it was handed over."""
        if self._client is not None:
            self._client.close()

    @property
    def _socket(self) -> socket.socket:
        assert self._client is not None
        return self._client
