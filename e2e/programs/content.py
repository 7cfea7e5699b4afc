"""Bytes both ends can make and check without sending them twice; used by `echo` and `client`."""

import hashlib
from collections.abc import Iterator

BLOCK = 65536


def blocks(size: int) -> Iterator[bytes]:
    """`size` bytes in which every block differs from every other, so that a lost or swapped one shows."""
    filling = hashlib.sha256(b"interceptor").digest() * (BLOCK // 32)
    for start in range(0, size, BLOCK):
        block = start.to_bytes(8, "big") + filling[8:]
        yield block[: size - start] if size - start < BLOCK else block


def digest(size: int) -> str:
    """The hash of those bytes."""
    whole = hashlib.sha256()
    for block in blocks(size):
        whole.update(block)
    return whole.hexdigest()
