"""`interceptor check`, as scripts run it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from interceptor.cli.check import check
from interceptor.cli.main import start
from tests.mesh.cluster import kubeconfig

ROOT = Path(__file__).resolve().parent.parent.parent
SERVER = """
import asyncio, sys
from e2e.mesh.installation import Installation
from tests.mesh.api import MeshApi
from tests.mesh.cluster import objects
async def main():
    api = MeshApi(objects(Installation("linkerd", "shop", "app")))
    if "broken" in sys.argv:
        api.remove("ConfigMap", "linkerd-config")
    await api.start()
    print(api.url, flush=True)
    await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""


@pytest.fixture(scope="module", params=["well", "broken"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A mesh that is well or broken, and its kubeconfig."""
    tmp_path = tmp_path_factory.mktemp("mesh")
    command = [sys.executable, "-c", SERVER, request.param]
    with subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield request.param, kubeconfig(tmp_path, process.stdout.readline().strip())
        process.terminate()


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "interceptor", "check", *arguments]
    return subprocess.run(command, cwd=ROOT, text=True, capture_output=True, timeout=30, check=False)


def test_status_and_json_agree(cluster: tuple[str, str]) -> None:
    state, config = cluster
    done = run("--kubeconfig", config, "-o", "json")
    document = json.loads(done.stdout)
    assert document["success"] is (state == "well")
    assert done.returncode == (0 if state == "well" else 1)
    results = {item["result"] for category in document["categories"] for item in category["checks"]}
    assert ("error" in results) is (state == "broken")


def test_short_says_only_what_is_wrong(cluster: tuple[str, str]) -> None:
    state, config = cluster
    done = run("--kubeconfig", config, "-o", "short")
    assert ("'linkerd-config' config map exists" in done.stdout) is (state == "broken")
    assert f"Status check results are {'√' if state == 'well' else '×'}" in done.stdout  # noqa: RUF001
    assert "\x1b" not in done.stdout


def test_terminal_without_marks_gets_others(cluster: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert re.search(r"^ok can query the Kubernetes API$", run("--kubeconfig", cluster[1]).stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "arguments", [["--pre", "--proxy"], ["--pre", "deploy/x"], ["deploy/x", "--proxy"], ["-o", "x"]]
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert start(check, arguments, prog_name="check") == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_no_kubeconfig_is_a_failed_check() -> None:
    done = run("--kubeconfig", "/nowhere/at/all")
    assert done.returncode == 1
    assert done.stdout.startswith("kubernetes-api\n--------------\n× can initialize the client\n")  # noqa: RUF001
