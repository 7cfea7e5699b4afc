"""The debug container is kubectl's, and its first process ends with its client: run here by this machine's own shell."""

from __future__ import annotations

import signal
import subprocess
from typing import Any

import pytest

from interceptor.workload import debugger
from interceptor.workload.debugger import GREETING, debug_container, fitted, names_of, new_name, status_of


def pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "app"}], **spec}}


def test_restricted_has_a_user() -> None:
    assert fitted("restricted", pod())["runAsUser"] > 0
    assert "runAsUser" not in fitted("restricted", pod(securityContext={"runAsUser": 1000}))


def test_capture_is_roots() -> None:
    theirs = pod(securityContext={"runAsNonRoot": True, "runAsUser": 1000})
    assert fitted("netadmin", theirs, as_root=True)["runAsUser"] == 0
    assert "runAsUser" not in fitted("netadmin", theirs)
    assert "runAsUser" not in fitted("netadmin", pod(), as_root=True)


def test_names_differ() -> None:
    assert len({new_name() for _ in range(20)}) == 20


def test_sidecars_stay_init_containers_do_not() -> None:
    inits = [{"name": "once"}, {"name": "proxy", "restartPolicy": "Always"}]
    assert names_of(pod(initContainers=inits)) == ["app", "proxy"]


def test_status_of_any_sort() -> None:
    found = {"status": {"ephemeralContainerStatuses": [{"name": "x", "state": {"running": {}}}]}}
    assert status_of(found, "x")["state"] == {"running": {}}
    assert status_of(found, "y") == {}


def first_process() -> subprocess.Popen[bytes]:
    """As the kubelet starts it: two dollars are one."""
    command = [word.replace("$$", "$") for word in debug_container("d", "i", {})["command"]]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)


def test_it_ends_with_its_client() -> None:
    with first_process() as process:
        assert process.stdin is not None
        process.stdin.write(GREETING)
        process.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        process.stdin.close()
        assert process.wait(5) == 0


def test_it_ends_when_told() -> None:
    with first_process() as process:
        assert process.stdin is not None
        process.stdin.write(GREETING)
        process.stdin.flush()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0


def test_it_ends_when_nobody_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    hold = debugger._HOLD.replace(str(debugger.NOBODY_COMES), "0.2")
    monkeypatch.setattr(debugger, "_HOLD", hold)
    with first_process() as process:
        assert process.wait(5) == 0
