"""`list`, `status` and `restore` from another process than the intercept: what they see of a session, well and broken."""

import asyncio
import json
import signal
import time
from typing import Any

from e2e.scene import Scene
from interceptor.kube import Cluster, load_access
from interceptor.session.hops import Hop
from interceptor.session.status import status

HOPS = ["API server", "client", "service", "pod", "agent", "tunnel", "local process"]


def asked(scene: Scene, *arguments: str) -> tuple[int, dict[str, Any]]:
    """One of the commands with `-o json`: its exit status and what it says."""
    done = scene.run(*arguments, "-n", scene.namespace, "-o", "json")
    code = done.wait(120)
    assert done.text("stdout"), done.transcript()
    return code, json.loads(done.text("stdout"))


def failing(scene: Scene, hop: str, within: float = 90) -> Hop:
    """The failing hop, once it is the one that is named; what broke needs a moment to show. As `status` finds it."""

    async def look() -> Hop:
        access = load_access(str(scene.kubectl.kubeconfig), namespace=scene.namespace)
        deadline = time.monotonic() + within
        async with Cluster(access) as cluster:
            while True:
                (report,) = await status(cluster, "deploy/echo")
                if report.failing is not None and report.failing.name == hop:
                    return report.failing
                assert time.monotonic() < deadline, report.hops

    return asyncio.run(look())


def test_live_intercept_is_seen_from_outside(scene: Scene) -> None:
    scene.echo()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{scene.local().port}:8080")
        code, listed = asked(scene, "list")
        (one,) = listed["intercepts"]
        assert (code, one["workload"], one["alive"], one["state"]) == (0, "deploy/echo", True, "held")
        assert len(one["pods"]) == 1
        assert not one["leftover"]
        code, said = asked(scene, "status")
        (report,) = said["intercepts"]
        assert (code, said["healthy"], [hop["hop"] for hop in report["hops"]]) == (0, True, HOPS), said
        times = {hop["hop"]: hop["ms"] for hop in report["hops"] if hop["ms"] is not None}
        assert times.keys() == {"API server", "agent", "tunnel", "local process"}
        scene.measured("status: " + ", ".join(f"{name} {ms:.1f} ms" for name, ms in times.items()))
        assert asked(scene, "list", "-A")[0] == 0
        refused = scene.run("restore", "--all", "-n", scene.namespace)
        assert refused.wait(120) == 1, refused.transcript()
        assert "is held by" in refused.text("stderr")
        scene.kubectl("scale", "deployment/echo", "--replicas=0")
        assert "no pod runs the agent" in failing(scene, "pod").text
        scene.kubectl("scale", "deployment/echo", "--replicas=1")
        intercept.stop()
    assert asked(scene, "list") == (0, {"intercepts": [], "debugged": [], "unknown": []})
    assert asked(scene, "status")[0] == 0
    none = scene.run("status", "deploy/echo", "-n", scene.namespace)
    assert none.wait(120) == 1
    assert "deploy/echo is not intercepted" in none.text("stderr")


def test_each_broken_hop_is_named(scene: Scene) -> None:
    scene.echo()
    local = scene.local()
    before = scene.fingerprint()
    intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080", "--no-guard")
    scene.kubectl.patch("service/echo", {"spec": {"ports": [{"port": 80, "targetPort": "web"}]}})
    assert "no container has a port of that name" in failing(scene, "service").text
    scene.kubectl.patch("service/echo", {"spec": {"selector": {"app": "ecco"}}})
    assert "selects app=ecco, the pods have app=echo" in failing(scene, "service").text
    scene.kubectl.patch(
        "service/echo", {"spec": {"selector": {"app": "echo"}, "ports": [{"port": 80, "targetPort": 8080}]}}
    )
    local.close()
    assert f"127.0.0.1:{local.port}" in failing(scene, "local process").text
    intercept.send(signal.SIGSTOP)
    assert "has not renewed the Lease" in failing(scene, "client").text
    code, said = asked(scene, "status", "deploy/echo")
    hops = {hop["hop"]: hop for hop in said["intercepts"][0]["hops"]}
    assert code == 1
    assert hops["agent"]["state"] == "ok", said
    (one,) = asked(scene, "list")[1]["intercepts"]
    assert (one["alive"], one["state"]) == (False, "silent")
    restored = scene.run("restore", "--all", "-n", scene.namespace, "-o", "json")
    assert restored.wait(120) == 0, restored.transcript()
    intercept.send(signal.SIGCONT)
    assert intercept.wait(120) == 1, intercept.transcript()
    scene.expect_same(before)
