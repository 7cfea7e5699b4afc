"""Why a stream or a tunnel ended, as both ends name it; carried in RESET and CLOSE frames (see docs/wire.md)."""

from enum import IntEnum


class Reason(IntEnum):
    """A number for machines; the text beside it in the frame is for people."""

    CANCELLED = 0  # the opener no longer wants the stream, or its socket was reset
    REFUSED = 1  # nothing listens there (ECONNREFUSED)
    UNREACHABLE = 2  # the host can't be reached (EHOSTUNREACH)
    TIMEOUT = 3  # no answer to the dial in time
    NAME = 4  # the host name does not resolve
    DENIED = 5  # the other end does not serve that target
    BROKEN = 6  # the far socket broke in the middle (ECONNRESET and the like)
    MEMORY = 7  # the stream held more than its end could keep
    GONE = 8  # the tunnel or the session ended
    PROTOCOL = 9  # the peer violated the frame rules; ends the whole tunnel
    GOODBYE = 10  # the session ends in order; nothing is wrong
    REPLACED = 11  # a newer tunnel of the same session took over
    SILENCE = 12  # nothing was heard for a while; the path is gone or stalled
    NETWORK = 13  # no route to that network (ENETUNREACH)
