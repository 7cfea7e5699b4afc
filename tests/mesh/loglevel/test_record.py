"""What a machine remembers of levels: kept by whoever lives, taken over from whoever died."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from interceptor.errors import InterceptorError
from interceptor.mesh.loglevel import record
from interceptor.mesh.loglevel.model import Sidecar
from interceptor.mesh.loglevel.record import Record

ONE, TWO = (Sidecar("shop", f"orders-{n}", "linkerd-proxy", f"containerd://{n}", "Linkerd", 4191) for n in (1, 2))
HOLD = """
import sys
from interceptor.mesh.loglevel.record import Record
from interceptor.mesh.loglevel.model import Sidecar
held = Record.begin(access={}, server="https://here", workload="deploy/orders", namespace="shop")
held.before(Sidecar("shop", "orders-1", "linkerd-proxy", "containerd://1", "Linkerd", 4191), "warn")
print(held.path, flush=True)
sys.stdin.read()
"""


def begin() -> Record:
    return Record.begin(access={}, server="https://here", workload="deploy/orders", namespace="shop")


def test_lines_tell_what_is_left() -> None:
    held = begin()
    for sidecar in (ONE, TWO):
        held.before(sidecar, "warn")
    held.after(ONE, "debug")
    held.back(TWO)
    left = record.read(held.path)
    assert left is not None
    assert (left.server, left.workload, left.namespace) == ("https://here", "deploy/orders", "shop")
    assert {key: (change.before, change.ours) for key, change in left.changes.items()} == {ONE.key: ("warn", "debug")}
    held.close(forget=True)
    assert record.all_left() == []
    assert not record.folder().parent.exists()


def test_first_level_counts() -> None:
    first, second = begin(), begin()
    first.before(ONE, "warn")
    second.before(ONE, "debug")
    first.before(TWO, "error")  # a later line does not make a record younger
    assert record.known("https://here") == {("shop", *ONE.key): "warn", ("shop", *TWO.key): "error"}
    assert record.known("https://elsewhere") == {}
    for held in (first, second):
        held.close(forget=True)


def test_death_frees_the_record() -> None:
    command = [sys.executable, "-c", HOLD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        path = Path(owner.stdout.readline().strip())
        with record.claim(path) as left:
            assert left is None
        owner.send_signal(signal.SIGKILL)
        owner.wait(10)
    with record.claim(path) as left:
        assert left is not None
        assert list(left.changes) == [ONE.key]
        with record.claim(path) as again:
            assert again is None
    record.discard(path)
    with record.claim(path) as left:
        assert left is None


def test_torn_line_says_nothing() -> None:
    held = begin()
    held.before(ONE, "warn")
    with held.path.open("ab") as file:
        file.write(b'{"sidecar": {"names')
    left = record.read(held.path)
    assert left is not None
    assert list(left.changes) == [ONE.key]
    held.close(forget=True)


def test_only_ours_may_read(state: Path) -> None:
    held = begin()
    assert held.path.parent == state
    assert held.path.stat().st_mode & 0o777 == 0o600
    assert state.stat().st_mode & 0o777 == 0o700
    held.close(forget=True)


def test_no_place_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(InterceptorError, match="can't remember the levels"):
        begin()
