"""One intercept from look to undo, on the embedded cluster with real pods, agents, tunnels and callers."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path

import pytest

from interceptor.session.options import Access
from tests.session.scene import Running, Scene, free_port, local

COMMAND = """
import os, socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    sock, _ = server.accept()
    with sock:
        if sock.recv(100):          # a probe says nothing
            sock.sendall(os.environ["WORD"].encode() + b"\\n")
            sys.exit(7)
"""


def steps(running: Running) -> list[str]:
    """What every intercept tells, whatever it waited for between."""
    return running.heard.names("waiting")


@pytest.mark.slow
async def test_command_serves_and_ends(scene: Scene) -> None:
    await scene.deploy(env=[{"name": "WORD", "value": "from the pod"}])
    port = free_port()
    command = (sys.executable, "-c", COMMAND, str(port))
    async with scene.intercepting(ports=(f"{port}:8080",), command=command) as running:
        ready = await running.until("ready")
        assert await scene.ask() == "from the pod"
        await running.ended()
    assert (running.status, running.error) == (7, None)
    assert steps(running) == ["planned", "swapped", "connected", "ready", "restored"]
    assert running.heard.texts("restored") == ["deploy/orders is as it was"]
    assert len(ready.details["pods"]) == 1  # type: ignore[arg-type]
    assert 0 < float(str(ready.details["round_trip_ms"])) < 5000
    await scene.expect_as_before()
    await scene.serves("cluster 8080")


@pytest.mark.slow
async def test_serves_until_cancelled(scene: Scene, tmp_path: Path) -> None:
    """Two ports, two local processes, the environment in a file, and Ctrl-C."""
    await scene.deploy(ports=(8080, 9090), env=[{"name": "WORD", "value": "it's"}])
    async with local("first") as one, local("second") as two:
        ports = (f"{one}:8080", f"{two}:p9090")
        async with scene.intercepting(ports=ports, env_file=tmp_path / "pod.env") as running:
            await running.until("ready")
            assert (await scene.ask(8080), await scene.ask(9090)) == ("first", "second")
            await running.stop()
    assert running.cancelled
    assert steps(running) == ["planned", "swapped", "connected", "ready", "restored"]
    lines = (tmp_path / "pod.env").read_text().splitlines()
    assert """WORD='it'"'"'s'""" in lines
    assert any(line.startswith("INTERCEPTOR_SOCKS=socks5h://127.0.0.1:") for line in lines)
    await scene.expect_as_before()


@pytest.mark.parametrize("event", ["planned", "swapped", "connected"])
async def test_interrupted_start_is_undone(orders: Scene, event: str) -> None:
    async with local() as port, orders.intercepting(ports=(f"{port}:8080",)) as running:
        await running.until(event)
        await running.stop()
    assert running.cancelled
    assert "ready" not in steps(running)
    await orders.expect_as_before()
    await orders.rolled_out()
    await orders.serves("cluster 8080")


async def test_interrupted_look_tells_nothing(orders: Scene) -> None:
    await orders.fault(verb="list", resource="services", delay=5.0)
    async with orders.intercepting(ports=("8080",)) as running:
        await orders.api.eventually(orders.hits, lambda hits: hits == [1])
        await running.stop()
    assert running.cancelled
    assert running.heard.events == []
    await orders.expect_as_before()


async def test_interrupted_set_up_is_undone(orders: Scene) -> None:
    """Ctrl-C while the session's objects are being created: each that exists goes with the first."""
    await orders.fault(verb="create", resource="secrets", delay=5.0)
    async with orders.intercepting(ports=("8080",)) as running:
        await running.until("planned")
        await orders.api.eventually(orders.leftovers, lambda found: "leases" in str(found))
        await running.stop()
    assert running.heard.texts("restored") == ["deploy/orders was not changed"]
    await orders.expect_as_before()


async def test_dry_run_changes_nothing(orders: Scene) -> None:
    version = (await orders.api.get(orders.path))["metadata"]["resourceVersion"]
    async with orders.intercepting(ports=("8080",), dry_run=True) as running:
        await running.ended()
    assert running.status == 0
    assert running.heard.names() == ["planned"]
    plan = running.heard.events[0].details["plan"]
    assert isinstance(plan, dict)
    assert {patch["op"] for patch in plan["patch of deploy/orders"]} <= {"add", "replace", "remove", "test"}
    kinds = [item["kind"] for item in plan["objects to be created"]]
    assert kinds == ["Job", "Lease", "ServiceAccount", "Role", "RoleBinding", "Secret"]
    assert plan["missing rights"] == []
    assert (await orders.api.get(orders.path))["metadata"]["resourceVersion"] == version
    assert await orders.leftovers() == []


async def test_missing_rights_are_named(orders: Scene) -> None:
    """Before anything has changed; a dry run lists them instead."""
    subject = {"kind": "User", "name": "ana", "apiGroup": "rbac.authorization.k8s.io"}
    role = {"kind": "ClusterRole", "name": "view", "apiGroup": "rbac.authorization.k8s.io"}
    body = {"metadata": {"name": "ana"}, "subjects": [subject], "roleRef": role}
    await orders.api.ok("POST", orders.api.path("rolebindings", group="rbac.authorization.k8s.io/v1"), body)
    ana = Access(kubeconfig=orders.api.kubeconfig, namespace=orders.api.namespace, as_user="ana")
    async with orders.intercepting(ports=("8080",), access=ana) as running:
        await running.ended()
    assert running.error is not None
    assert "missing rights" in running.error.message
    assert "patch deployments" in running.error.message
    async with orders.intercepting(ports=("8080",), access=ana, dry_run=True) as running:
        await running.ended()
    plan = running.heard.events[0].details["plan"]
    assert isinstance(plan, dict)
    assert any("deployments" in right for right in plan["missing rights"])
    await orders.expect_as_before()


MISTAKES: list[tuple[dict[str, object], str, str]] = [
    ({"target": "deploy/order"}, "no deployment 'order'", "did you mean orders"),
    ({"ports": ("1234",)}, "1234", ""),
    ({"ports": ("8080",), "container": "web"}, "no container 'web'", "it has: app"),
    ({"ports": ("8080",), "to_host": "no.such.host.invalid"}, "no.such.host.invalid", "address of this machine"),
]


async def test_mistakes_change_nothing(orders: Scene) -> None:
    for options, said, hint in MISTAKES:
        async with orders.intercepting(**options) as running:
            await running.ended()
        assert running.error is not None
        assert said in running.error.message
        assert hint in running.error.hint
        await orders.expect_as_before()


@pytest.mark.slow
async def test_second_session_is_refused(orders: Scene) -> None:
    async with local() as port, orders.intercepting(ports=(f"{port}:8080",)) as first:
        await first.until("ready")
        async with orders.intercepting(ports=("8080",)) as second:
            await second.ended()
        assert second.error is not None
        assert "already intercepted by" in second.error.message
        assert second.heard.events == []
        assert await orders.ask() == "here"
        await first.stop()
    await orders.expect_as_before()


@pytest.mark.slow
async def test_two_at_once_leave_one(orders: Scene) -> None:
    """Both have looked before either has swapped: the Lease decides."""
    async with local() as port:
        ports = (f"{port}:8080",)
        async with orders.intercepting(ports=ports) as one, orders.intercepting(ports=ports) as two:
            assert one.task is not None
            assert two.task is not None
            async with asyncio.timeout(30):
                await asyncio.wait([one.task, two.task], return_when=asyncio.FIRST_COMPLETED)
            loser, winner = (one, two) if one.task.done() else (two, one)
            assert loser.error is not None
            assert "already intercepted by" in loser.error.message
            await winner.until("ready")
            assert await orders.ask() == "here"
            await winner.stop()
    await orders.expect_as_before()


@pytest.mark.slow
async def test_waits_for_the_local_process(orders: Scene) -> None:
    """While nothing listens the cluster's own pod goes on serving."""
    port = free_port()
    async with orders.intercepting(ports=(f"{port}:8080",), hold=30.0) as running:
        await running.until("waiting", f"nothing listens on 127.0.0.1:{port} yet")
        assert await orders.ask() == "cluster 8080"
        async with local(port=port):
            await running.until("ready")
            assert await orders.ask() == "here"
            await running.stop()
    await orders.expect_as_before()


@pytest.mark.slow
async def test_later_than_hold_is_not_ready(orders: Scene) -> None:
    """After the wait the agents take over all the same; ready is said only when the whole way works."""
    port = free_port()
    async with orders.intercepting(ports=(f"{port}:8080",), hold=0.2) as running:
        told = await running.until("waiting", "pod orders-")
        assert str(port) in told.text
        async with local(port=port):
            await running.until("ready")
            assert await orders.ask() == "here"
            await running.stop()
    await orders.expect_as_before()


@pytest.mark.slow
async def test_reload_holds_callers(orders: Scene) -> None:
    port = free_port()
    async with orders.intercepting(ports=(f"{port}:8080",), hold=20.0) as running:
        async with local("old", port=port):
            await running.until("ready")
        async with asyncio.TaskGroup() as group:
            caller = group.create_task(orders.ask())
            await running.until("waiting", "callers wait up to 20 s")
            async with local("new", port=port):
                assert await asyncio.wait_for(asyncio.shield(caller), 30) == "new"
                await running.until("note", "something listens on")
                await running.stop()
    await orders.expect_as_before()


@pytest.mark.slow
async def test_json_environment_is_whole(scene: Scene, tmp_path: Path) -> None:
    """ConfigMaps and the pod's own fields are what the pod sees, a failing path is told and undone."""
    await scene.api.ok(
        "POST", scene.api.path("configmaps"), {"metadata": {"name": "words"}, "data": {"WORD": "mapped"}}
    )
    await scene.deploy(
        env=[
            {"name": "WORD", "valueFrom": {"configMapKeyRef": {"name": "words", "key": "WORD"}}},
            {"name": "ME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "BOTH", "value": "$(WORD)-$(ME)"},
        ]
    )
    async with scene.intercepting(ports=("8080",), env_file=tmp_path / "none" / "pod.json") as running:
        await running.ended()
    assert running.error is not None
    assert "can't write" in running.error.message
    await scene.expect_as_before()
    await scene.rolled_out()
    async with scene.intercepting(ports=("8080",), env_file=tmp_path / "pod.json") as running:
        await running.until("note", "environment written to")
        await running.stop()
    environ = json.loads((tmp_path / "pod.json").read_text())
    assert (environ["WORD"], environ["ME"]) == ("mapped", scene.api.namespace)
    assert environ["BOTH"] == f"mapped-{scene.api.namespace}"
    await scene.expect_as_before()


async def test_missing_command_is_undone(orders: Scene) -> None:
    """The command line asks first; whoever calls the session without asking still leaves nothing."""
    async with orders.intercepting(ports=("8080",), command=("/no/such/program",)) as running:
        await running.ended()
    assert running.error is not None
    assert running.error.exit_status == 127
    assert "no such file" in running.error.message
    await orders.expect_as_before()


async def test_pods_are_listed_once(orders: Scene) -> None:
    """By the look: it asks one of them for its program, and judges them all."""
    await orders.fault(verb="list", resource="pods")
    async with orders.intercepting(ports=("8080",), dry_run=True) as running:
        await running.ended()
    assert running.error is None
    assert await orders.hits() == [1]


async def test_agents_know_the_grace(orders: Scene) -> None:
    """How long their pods have to end is the template's word, from before the first of them starts."""
    await orders.patch([{"op": "add", "path": "/spec/template/spec/terminationGracePeriodSeconds", "value": 3}])
    await orders.rolled_out()
    async with local() as port, orders.intercepting(ports=(f"{port}:8080",)) as running:
        await running.until("swapped")
        (found,) = (await orders.api.get(orders.api.path("secrets")))["items"]
        assert json.loads(base64.b64decode(found["data"]["config.json"]))["grace"] == 3
        await running.stop()
