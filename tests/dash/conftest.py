"""The embedded cluster of the session's tests, and a browser where there is one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.dash.chromium import Browser, find_chromium, open_browser
from tests.session.conftest import kubeconfig, orders, scene

__all__ = ["kubeconfig", "orders", "scene"]


@pytest_asyncio.fixture
async def browser(tmp_path: Path) -> AsyncIterator[Browser]:
    """Headless Chromium. CI installs it; elsewhere a test that needs it says so."""
    program = find_chromium()
    if program is None:
        pytest.skip("there is no chromium (Debian: apt-get install chromium, or set CHROMIUM)")
    async with open_browser(program, tmp_path / "profile") as opened:
        yield opened
