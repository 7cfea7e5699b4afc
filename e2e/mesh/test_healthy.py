"""A mesh with nothing wrong passes everything, and is shown as Linkerd shows one."""

from __future__ import annotations

import pytest

from e2e.mesh.states import Mesh, wrong


@pytest.mark.parametrize("proxy", [False, True], ids=["control", "proxy"])
async def test_healthy_passes_all(mesh: Mesh, proxy: bool) -> None:
    rows = await mesh.check(proxy=proxy, whole=True)
    assert wrong(rows) == {}
