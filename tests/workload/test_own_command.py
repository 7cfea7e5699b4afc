"""What an agent would have to run to be the app again."""

from __future__ import annotations

from typing import Any

from interceptor.workload.inspect import FirstProcess, PodFacts
from interceptor.workload.own_command import own_command

FIRST = FirstProcess(("python", "-m", "orders"), "/srv", {"A": "1", "ADDED": "x"})
FACTS = PodFacts("/usr/bin/python3", {"A": "1"}, first=FIRST)


def workload(app: dict[str, Any], **pod: Any) -> dict[str, Any]:
    return {"spec": {"template": {"spec": {"containers": [{"name": "side"}, {"name": "app", **app}], **pod}}}}


def command(app: dict[str, Any], facts: PodFacts = FACTS, **pod: Any) -> dict[str, Any] | None:
    return own_command(workload(app, **pod), "app", facts)


def test_templates_command_is_expanded_in_the_pod() -> None:
    assert command({"command": ["serve"], "args": ["$(PORT)"]}) == {
        "argv": ["serve", "$(PORT)"], "expand": True, "environ": {}, "cwd": None, "ready": {},
    }  # fmt: skip


def test_images_command_is_what_runs() -> None:
    """With the arguments of the template already in it, and what its entrypoint exported."""
    found = command({"args": ["--port", "80"]})
    assert found is not None
    assert (found["argv"], found["expand"]) == (["python", "-m", "orders"], False)
    assert (found["cwd"], found["environ"]) == ("/srv", {"ADDED": "x"})


def test_unknown_command_is_none() -> None:
    assert command({}, PodFacts(None, None)) is None
    assert command({}, shareProcessNamespace=True) is None
    assert command({}, hostPID=True) is None
    assert command({"command": ["serve"]}, PodFacts(None, None), shareProcessNamespace=True) is not None


def test_readiness_is_the_apps_own() -> None:
    def ready(probe: Any) -> Any:
        found = command({"readinessProbe": probe, "ports": [{"name": "http", "containerPort": 8080}]})
        assert found is not None
        return found["ready"]

    assert ready({"httpGet": {"port": "http", "path": "/up"}}) == {"port": 8080, "path": "/up"}
    assert ready({"httpGet": {"port": 9090}}) == {"port": 9090, "path": "/"}
    assert ready({"tcpSocket": {"port": "http"}}) == {"port": 8080}
    assert ready({"httpGet": {"port": 9090, "scheme": "HTTPS"}}) == {}
    assert ready({"exec": {"command": ["true"]}}) == {}
