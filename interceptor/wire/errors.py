"""Who broke the rules: us (`LocalProtocolError`, a bug) or the peer (`RemoteProtocolError`)."""

from __future__ import annotations


class ProtocolError(Exception):
    """Either of the two below; never raised itself."""


class LocalProtocolError(ProtocolError):
    """We asked for what the state does not allow; nothing was sent."""


class RemoteProtocolError(ProtocolError):
    """The peer sent what the rules forbid; the connection is over and a CLOSE with the reason waits to be sent."""
