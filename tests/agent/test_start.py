"""The agent as a program: every Python it may meet in a pod, quick, small, and any user's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from interceptor.workload.zipapp import build
from tests.agent.running import APP, local_side, running_agent, tunnel_to
from tests.agent.test_serving import call, serving

PYTHONS = {
    version: next(iter(sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))), None)
    for version in ("3.10", "3.11", "3.12", "3.13")
}


@pytest.fixture(params=PYTHONS)
def python(request: pytest.FixtureRequest) -> Path:
    found = PYTHONS[request.param]
    if found is None:
        pytest.skip(f"no Python {request.param} here")
    return found


@pytest.mark.slow  # it drains for two seconds
async def test_every_python_serves(tmp_path: Path, python: Path) -> None:
    """Packed, isolated from whatever the image has installed, and with warnings as errors."""
    packed = tmp_path / "agent.pyz"
    packed.write_bytes(build())
    command = (str(python), "-I", "-X", "dev", "-W", "error", str(packed))
    with running_agent(tmp_path, command=command) as agent:
        async with serving() as port, tunnel_to(agent, local_side({APP: port})) as tunnel:
            assert (await call(agent.bind, APP)).endswith(b"hello")
            assert (await tunnel.ask("probe"))["ok"]
        agent.terminate()
        assert await agent.exit_code() == 0


async def test_idle_agent_is_small(tmp_path: Path) -> None:
    packed = tmp_path / "agent.pyz"
    packed.write_bytes(build())
    python = str(PYTHONS["3.13"] or sys.executable)
    with running_agent(tmp_path, command=(python, "-I", str(packed))) as agent:
        async with tunnel_to(agent, local_side({})):
            assert agent.rss() < 30_000


def test_agent_finds_its_files(tmp_path: Path) -> None:
    """They lie beside it: no folder is named."""
    packed = tmp_path / "agent.pyz"
    packed.write_bytes(build())
    with running_agent(tmp_path, command=("sh", "-c", 'exec "$0" "$1"', sys.executable, str(packed))) as agent:
        assert "session orders-x7f2q: listening on 8080" in agent.words


def test_agent_runs_as_anybody(tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root may become somebody else")
    packed = tmp_path / "agent.pyz"
    packed.write_bytes(build())
    anybody = Path("/usr/bin/python3")
    if not anybody.exists() or os.system("setpriv --version >/dev/null 2>&1"):  # noqa: S605
        pytest.skip("needs setpriv and a Python that everybody may run")
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    command = (
        "setpriv",
        "--reuid=65532",
        "--regid=65532",
        "--clear-groups",
        "--no-new-privs",
        str(anybody),
        str(packed),
    )
    with running_agent(tmp_path, command=command) as agent:
        assert "Uid:\t65532" in Path(f"/proc/{agent.process.pid}/status").read_text()
