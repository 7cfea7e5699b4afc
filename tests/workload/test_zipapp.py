"""What travels to the pod."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import interceptor
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


def imports_as_parsed(module: str, path: Path) -> set[str]:
    """What Python's own parser finds: the answer to hold the quick one against."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    found: set[str] = set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            waiting += node.orelse
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
        else:
            waiting += ast.iter_child_nodes(node)
    return found


def test_every_import_is_seen() -> None:
    package = Path(interceptor.__file__).parent
    folders = {"interceptor": package, "agent": zipapp._agent_folder()}
    for module in zipapp._closure("agent.__main__", folders):
        path = zipapp._file_of(module, folders)
        assert path is not None
        assert imports_as_parsed(module, path) <= {*zipapp._imports(module, path), ""}, module


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("from agent import (\n    a,  # (the first)\n    b as c,\n)\n", {"agent", "agent.a", "agent.b"}),
        ("import os, agent.a as b\n", {"os", "agent.a"}),
        ("from .a import b\nfrom . import c", {"agent.a", "agent.a.b", "agent", "agent.c"}),
        ("if typing.TYPE_CHECKING:\n    import a\n\n    import b\nelse:\n    import c\n", {"c"}),
        ("def f():\n    if TYPE_CHECKING:\n        import a\n    import b  # why\n", {"b"}),
    ],
)
def test_forms_of_import(tmp_path: Path, text: str, wanted: set[str]) -> None:
    path = tmp_path / "one.py"
    path.write_text(text)
    assert set(zipapp._imports("agent.one", path)) == wanted == imports_as_parsed("agent.one", path)


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
