"""What the container was started with; `tunnels` sends it to the developer's machine."""

from __future__ import annotations

import os
from pathlib import Path

BLOCK = Path("/proc/self/environ")


def environment() -> dict[str, str]:
    """Names and values; bytes that are no UTF-8 as lone surrogates.

    As the kernel has it: the interpreter adds LC_CTYPE to its own copy where the locale is C (PEP 538).
    """
    try:
        block = BLOCK.read_bytes()
    except OSError:  # hidden from a process that may not be traced
        block = b"\0".join(name + b"=" + value for name, value in os.environb.items())
    found: dict[str, str] = {}
    for item in block.split(b"\0"):
        name, equals, value = item.partition(b"=")
        if equals and name:
            found.setdefault(_text(name), _text(value))  # of two, getenv takes the first
    return found


def _text(value: bytes) -> str:
    return value.decode(errors="surrogateescape")
