"""Imports aiohttp without the system's certificates; `kube` does so before any other of its modules needs aiohttp.

While it is imported, aiohttp makes a TLS context with the machine's 150 authorities, for requests that name no context: that
takes 0.06 s of each start, and `access` always names one. A request without one would trust nobody.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_WHERE = ("SSL_CERT_FILE", "SSL_CERT_DIR")  # what OpenSSL asks first


@contextmanager
def _no_authorities() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _WHERE}
    os.environ.update(dict.fromkeys(_WHERE, os.devnull))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


with _no_authorities():
    import aiohttp  # noqa: F401
