"""Credentials are hidden, the rest is not."""

from __future__ import annotations

import pytest

from interceptor.mesh.traffic.masking import masked_header, masked_path


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("authorization", "Bearer abc.def", "Bearer ***"),
        ("authorization", "abc", "***"),
        ("proxy-authorization", "Basic dTpw", "Basic ***"),
        ("cookie", "a=b", "***"),
        ("set-cookie", "a=b; Path=/", "***"),
        ("x-api-key", "k", "***"),
        ("x-auth-token", "k", "***"),
        ("x-csrf-tokens", "k", "***"),
        ("content-type", "text/plain", "text/plain"),
        ("x-tokenizer", "fast", "fast"),
        ("x-request-id", "1", "1"),
    ],
)
def test_headers(name: str, value: str, shown: str) -> None:
    assert masked_header(name, value) == shown


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/a?x=1", "/a?x=1"),
        ("/a?access_token=abc&x=1", "/a?access_token=***&x=1"),
        ("/a?x=1&api_key=abc#f", "/a?x=1&api_key=***#f"),
        ("/cb?code=abc&state=1", "/cb?code=***&state=1"),
        ("/token/abc", "/token/abc"),
    ],
)
def test_paths(path: str, shown: str) -> None:
    assert masked_path(path) == shown
