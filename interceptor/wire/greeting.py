"""What HELLO holds and how two of them meet; `connection` sends one and reads one."""

from __future__ import annotations

from typing import NamedTuple

from interceptor.wire import frames
from interceptor.wire.errors import RemoteProtocolError

VERSION = 1
FEATURES = frozenset({"hold", "outbound"})


class Greeting(NamedTuple):
    """One end's HELLO. What else it may hold is left for later versions."""

    version: int
    session: str
    features: frozenset[str]
    window: int  # first credit of each stream towards the one who says it

    def pack(self) -> bytes:
        """As the frame's payload."""
        return frames.pack_object({**self._asdict(), "features": sorted(self.features)})

    def meet(self, theirs: Greeting) -> tuple[int, frozenset[str]]:
        """The version and the features that both know."""
        if theirs.session != self.session:
            raise RemoteProtocolError(f"HELLO of session {theirs.session[:64]!r}, this is {self.session!r}")
        return min(self.version, theirs.version), self.features & theirs.features


def read(payload: memoryview) -> Greeting:
    """The reverse of `pack`."""
    hello = frames.read_object(payload, "HELLO")
    version, session, window = hello.get("version"), hello.get("session"), hello.get("window")
    features = hello.get("features")
    if type(version) is not int or version < 1 or not isinstance(session, str):
        raise RemoteProtocolError("HELLO without version or session")
    if type(window) is not int or not 0 < window <= frames.MAX_CREDIT:
        raise RemoteProtocolError("HELLO without window")
    if not isinstance(features, list) or not all(isinstance(name, str) for name in features):
        raise RemoteProtocolError("HELLO without features")
    return Greeting(version, session, frozenset(features), window)
