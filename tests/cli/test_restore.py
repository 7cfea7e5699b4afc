"""What `interceptor restore` takes."""

from __future__ import annotations

import pytest

from tests.cli.test_main import typed


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "name a TARGET, or all of them with --all"),
        (["deploy/orders", "--all"], "name a TARGET, or all of them with --all"),
        (["deploy/orders", "-A"], "it needs --all"),
    ],
)
def test_target_or_all(args: list[str], said: str) -> None:
    done = typed("restore", *args)
    assert done.returncode == 2
    assert said in done.stderr
