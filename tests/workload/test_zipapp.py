"""What travels to the pod."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from interceptor.errors import InterceptorError
from interceptor.workload import zipapp


def names(content: bytes) -> set[str]:
    return set(zipfile.ZipFile(io.BytesIO(content)).namelist())


@pytest.fixture
def small_agent(tmp_path: Path) -> Path:
    folder = tmp_path / "agent"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "__main__.py").write_text(
        "from typing import TYPE_CHECKING\n"
        "from . import greeting\n"
        "from interceptor.swap import json_patch\n"
        "if TYPE_CHECKING:\n    from interceptor.kube import Cluster\n"
        "def main():\n    print(greeting.TEXT, json_patch(1, 2))\n    return 3\n"
    )
    (folder / "greeting.py").write_text("TEXT = 'hello'\n")
    (folder / "unused.py").write_text("")
    return folder


def test_only_what_is_imported(small_agent: Path) -> None:
    packed = names(zipapp.build(small_agent))
    assert {"__main__.py", "agent/__main__.py", "agent/greeting.py", "interceptor/errors.py"} <= packed
    assert "agent/unused.py" not in packed
    assert not any(name.startswith(("interceptor/kube", "interceptor/workload")) for name in packed)


def test_runs_anywhere(small_agent: Path, tmp_path: Path) -> None:
    (tmp_path / "agent.pyz").write_bytes(zipapp.build(small_agent))
    ran = subprocess.run(
        [sys.executable, "-I", tmp_path / "agent.pyz"], capture_output=True, text=True, check=False, cwd="/", timeout=30
    )
    assert (ran.returncode, ran.stderr) == (3, "")
    assert ran.stdout.startswith("hello [{'op': 'replace'")


def test_same_source_same_bytes(small_agent: Path) -> None:
    first = zipapp.build(small_agent)
    (small_agent / "greeting.py").touch()
    assert zipapp.build(small_agent) == first


def test_too_large_is_refused(small_agent: Path) -> None:
    noise = "".join(f"{number * 7919 % 1000003:x}" for number in range(400_000))
    (small_agent / "greeting.py").write_text(f"TEXT = '{noise}'\n")
    with pytest.raises(InterceptorError, match="bytes packed"):
        zipapp.build(small_agent)


def test_the_agent_fits() -> None:
    packed = zipapp.build()
    assert len(packed) <= 150_000
    assert {"agent/__main__.py", "interceptor/swap/undo.py", "interceptor/wire/frames.py"} <= names(packed)
    assert not any(name.startswith(("interceptor/kube", "interceptor/cli")) for name in names(packed))
