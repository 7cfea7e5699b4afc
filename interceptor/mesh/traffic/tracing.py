"""Which trace a request belongs to, as its headers say: `record` shows it, `filters` asks for it. They pass unchanged.

W3C's traceparent is what OpenTelemetry sends; B3 is what Zipkin's users, Linkerd and older Envoys send.
"""

from __future__ import annotations

import re

from interceptor.http.exchange import Pairs

SHORT = 8  # digits that tell traces apart for the eye
_PARENT = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?", re.DOTALL
)
_B3 = re.compile(r"((?:[0-9a-f]{16}){1,2})-([0-9a-f]{16})(?:-.*)?", re.DOTALL)
_ID = re.compile(r"(?:[0-9a-f]{16}){1,2}")


def trace_of(pairs: Pairs) -> str:
    """The trace's id in lower-case hexadecimal; "" for a request without one, or with one that is not well-formed."""
    b3 = ""
    for name, value in pairs:
        if name == "traceparent":
            found = _PARENT.fullmatch(value.strip())
            if found is not None:
                return found[1]
        elif name == "b3":
            found = _B3.fullmatch(value.strip().lower())
            b3 = found[1] if found is not None else b3
        elif name == "x-b3-traceid" and _ID.fullmatch(value.strip().lower()):
            b3 = value.strip().lower()
    return b3
