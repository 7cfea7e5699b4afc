"""Times, shares and answers as ServiceProfiles and routes write them, and as people type them; `edit` and `show` use it.

Linkerd's annotations take one whole number and one unit ("1.5s" is refused there, "1500ms" is not), HTTPRoutes up to four
such parts, ServiceProfiles any Go duration. What we write has one part, so all of them take it.
"""

from __future__ import annotations

import re

from interceptor.errors import UsageError

_PART = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(ns|us|µs|ms|s|m|h|d)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_ANSWER = re.compile(r"[1-5]\d\d(?:-[1-5]\d\d)?|5xx|gateway-error")
GRPC_ANSWERS = ("cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable")
MOST_RETRIES = 100  # Linkerd takes 65535; nobody means that


def duration(seconds: float) -> str:
    """In the coarsest unit that says it in a whole number."""
    milliseconds = round(seconds * 1000)
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if milliseconds and milliseconds % size == 0:
            return f"{milliseconds // size}{unit}"
    return f"{milliseconds}ms"


def seconds_of(text: object) -> float | None:
    """Any of the ways to write a time; None for what is none."""
    if text in ("0", 0):
        return 0.0
    parts = list(_PART.finditer(str(text)))
    if not parts or "".join(part[0] for part in parts) != str(text):
        return None
    return sum(float(part[1]) * _SECONDS[part[2]] for part in parts)


def ratio(text: str) -> float:
    """A budget as people type it: 20%, 0.2. Raises UsageError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(%?)", text.strip())
    share = float(found[1]) / (100 if found[2] else 1) if found else -1.0
    if not 0.0 <= share <= 10.0:
        raise UsageError(f"{text!r} is no budget", hint="type the share of requests that retries may add: --budget 20%")
    return round(share, 4)


def answers(text: str, *, grpc: bool = False) -> str:
    """What is retried: 5xx, gateway-error, 503, 500-504; of gRPC unavailable and others. Raises UsageError."""
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not (part in GRPC_ANSWERS if grpc else _ANSWER.fullmatch(part)):
            known = ", ".join(GRPC_ANSWERS) if grpc else "5xx, gateway-error, 503, 500-504"
            raise UsageError(f"{part!r} is nothing that can be retried", hint=f"--retry-on takes, with commas: {known}")
        low, _, high = part.partition("-")
        if low.isdigit() and high.isdigit() and int(low) > int(high):
            raise UsageError(f"{part!r} ends before it begins", hint=f"--retry-on {high}-{low}")
    return ",".join(parts)  # Linkerd doesn't trim: a space would make it unreadable there
