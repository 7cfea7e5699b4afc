"""A mesh with nothing wrong passes everything, and is shown as Linkerd shows one."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.mesh.installation import Installation
from e2e.mesh.states import Mesh, wrong

ROOT = Path(__file__).resolve().parent.parent.parent
RECORDED = ROOT / "tests" / "mesh" / "recorded"
COMMAND = shlex.split(os.environ.get("E2E_INTERCEPTOR", f"{sys.executable} -m interceptor"))
NODES = "√ cluster networks contains all node podCIDRs"  # not every cluster's nodes tell


@pytest.mark.parametrize("proxy", [False, True], ids=["control", "proxy"])
async def test_healthy_passes_all(mesh: Mesh, proxy: bool) -> None:
    rows = await mesh.check(proxy=proxy, whole=True)
    assert wrong(rows) == {}


@pytest.mark.parametrize("proxy", [False, True], ids=["control", "proxy"])
def test_command_prints_as_linkerd(installation: Installation, mesh: Mesh, proxy: bool) -> None:
    command = [*COMMAND, "check", "-L", installation.control, "--kubeconfig", mesh.kubeconfig]
    command += ["--proxy"] if proxy else []
    done = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=60, check=False)
    recorded = (RECORDED / f"check_{'proxy_' if proxy else ''}healthy.table").read_text()
    linkerds = recorded.partition("\nStatus")[0].splitlines()
    assert [line for line in done.stdout.splitlines() if line != NODES][: len(linkerds)] == linkerds
    assert done.stdout.splitlines()[-1].startswith("Status check results are √")
    assert done.returncode == 0
