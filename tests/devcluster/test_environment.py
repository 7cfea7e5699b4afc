from __future__ import annotations

import pytest

from interceptor.devcluster.node.environment import expand, quantity
from interceptor.devcluster.node.volumes import translate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("x$(A)y$(B)", "x1y2"),
        ("$(NO)", "$(NO)"),
        ("$$(A)", "$(A)"),
        ("$A", "$A"),
        ("100$", "100$"),
        ("$(A", "$(A"),
    ],
)
def test_references_expand(text: str, expected: str) -> None:
    assert expand(text, {"A": "1", "B": "2"}) == expected


@pytest.mark.parametrize(("text", "expected"), [("500m", 0.5), ("2", 2), ("64Mi", 64 * 2**20), ("1G", 10**9), (3, 3)])
def test_quantities_are_read(text: str | int, expected: float) -> None:
    assert float(quantity(text)) == expected


def test_mounted_paths_are_translated() -> None:
    mounts = [("/etc/app/sub", "/here/sub"), ("/etc/app", "/here/app")]
    words = ["cat", "/etc/app/a", "/etc/app/sub/b", "/etc/app", "/etc/apples", "x/etc/app"]
    assert translate(words, mounts) == ["cat", "/here/app/a", "/here/sub/b", "/here/app", "/etc/apples", "x/etc/app"]
