"""Hides what must not be shown by accident: credentials in headers and in query strings; `record` asks for every value."""

from __future__ import annotations

import re

MASK = "***"
_NAMES = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie", "x-forwarded-client-cert"})
_TELLING = re.compile(r"(?:^|[-_.])(?:token|secret|password|passwd|api-?key|session|credential|signature)s?(?:$|[-_.])")
_SCHEME = re.compile(r"(?:Basic|Bearer|Digest|Negotiate|DPoP|AWS4-HMAC-SHA256)(?= )", re.IGNORECASE)
_QUERY = re.compile(
    r"(?<=[?&])([^=&#]*(?:token|secret|password|passwd|api[_-]?key|signature|credential|code|sig|auth)[^=&#]*=)[^&#]+",
    re.IGNORECASE,
)


def masked_header(name: str, value: str) -> str:
    """A header's value, hidden if it is a credential; a scheme stays, for it explains many a 401. `name` is lower case."""
    if name in _NAMES or _TELLING.search(name):
        scheme = _SCHEME.match(value)
        return f"{scheme[0]} {MASK}" if scheme else MASK
    return value


def masked_path(path: str) -> str:
    """A path whose query's credentials are hidden."""
    return _QUERY.sub(rf"\g<1>{MASK}", path) if "?" in path else path
