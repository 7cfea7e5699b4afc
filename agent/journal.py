"""The agent's own words, a line each on standard output: what `kubectl logs` shows of an intercepted pod."""

from __future__ import annotations

import sys
import time

_REPEAT_AFTER = 10.0
_last: dict[str, float] = {}


def say(text: str) -> None:
    """Write one line. The same text again within ten seconds is left out: an attacker may not fill the node's disk."""
    now = time.monotonic()
    if now - _last.get(text, -_REPEAT_AFTER) < _REPEAT_AFTER:
        return
    if len(_last) > 100:
        _last.clear()
    _last[text] = now
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    sys.stdout.write(f"{stamp} interceptor agent: {text}\n")
    sys.stdout.flush()
