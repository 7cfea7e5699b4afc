"""The question a container is asked, answered by this machine's Python; and which pod is asked."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import Any

from interceptor.workload import inspect
from interceptor.workload.inspect import choose_pod, parse_environ


def test_python_answers_with_its_environment() -> None:
    environ = {b"A": b"1=2", b"BAD": b"\xff\xfe", b"LINES": b"a\nb", b"LC_ALL": b"C", b"PYTHONPATH": b"/nowhere"}
    ran = subprocess.run(
        [sys.executable, "-I", "-c", inspect._ASK_PYTHON], env=environ, capture_output=True, check=True, timeout=30
    )
    facts = json.loads(ran.stdout)
    assert facts["executable"] == sys.executable
    assert facts["version"] == list(sys.version_info[:2])
    assert facts["lacks"] == ""
    found = parse_environ(base64.b64decode(facts["environ"]))
    assert {name.encode(): value.encode("utf-8", "surrogateescape") for name, value in found.items()} == environ


def test_environment_block() -> None:
    assert parse_environ(b"") == {}
    assert parse_environ(b"A=1\0B=\0C=x=y\0broken\0=odd\0A=2\0") == {"A": "1", "B": "", "C": "x=y"}


def pod(name: str, image: str = "shop/orders:2", *, ready: bool = True, running: bool = True, **metadata: Any) -> Any:
    state: dict[str, Any] = {"running": {}} if running else {"waiting": {}}
    return {
        "metadata": {"name": name, **metadata},
        "spec": {"containers": [{"name": "app", "image": image}]},
        "status": {
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
            "containerStatuses": [{"name": "app", "state": state}],
        },
    }


def test_best_pod_is_asked() -> None:
    workload = {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "shop/orders:2"}]}}}}
    old, fresh, broken = pod("old", "shop/orders:1"), pod("fresh"), pod("broken", ready=False)
    dying, starting = pod("dying", deletionTimestamp="x"), pod("starting", running=False)
    assert choose_pod([dying, starting, old, broken, fresh], workload, "app") is fresh
    assert choose_pod([dying, old, broken], workload, "app") is broken
    assert choose_pod([dying, starting], workload, "app") is None
