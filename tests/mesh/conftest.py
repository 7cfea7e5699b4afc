"""A mesh behind an API server of the tests' own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from e2e.mesh.installation import Installation
from interceptor.mesh.check.model import Row
from interceptor.session.check import CheckOptions, check
from interceptor.session.options import Access
from tests.mesh.api import MeshApi
from tests.mesh.cluster import CONTROL, DATA, kubeconfig, objects

Checked = Callable[..., Awaitable[list[Row]]]


@pytest.fixture(scope="session")
def installed() -> Installation:
    return Installation(CONTROL, DATA, "app")


@pytest_asyncio.fixture
async def api(installed: Installation, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MeshApi]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "KUBECONFIG"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    api = MeshApi(objects(installed))
    await api.start()
    yield api
    await api.stop()


@pytest.fixture
def checked(api: MeshApi, tmp_path: Path) -> Checked:
    """Run the checks on it: Linkerd's own rows."""

    async def run(*, own: bool = False, **options: Any) -> list[Row]:
        rows: list[Row] = []
        access = Access(kubeconfig(tmp_path, api.url), namespace=options.pop("namespace", None))
        await check(CheckOptions(access=access, machine=False, **options), rows.append)
        return [row for row in rows if own or not row.category.startswith("interceptor")]

    return run
