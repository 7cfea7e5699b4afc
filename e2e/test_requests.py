"""What passes an intercept is seen from another terminal, every request of it, and counted once."""

import json
import signal
import time
from typing import Any

from e2e.process import Process
from e2e.scene import Scene

COUNT = 2000
SEEN_WITHIN = 60.0


def records(tap: Process, path: str) -> list[dict[str, Any]]:
    """The requests for a path that a tap has printed."""
    found = [json.loads(line.text) for line in list(tap.lines) if line.text.startswith("{")]
    return [record for record in found if record["path"] == path and record["stage"] == "ended"]


def wait_for(tap: Process, path: str, count: int) -> list[dict[str, Any]]:
    deadline = time.monotonic() + SEEN_WITHIN
    while len(found := records(tap, path)) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} seen\n{tap.transcript()[-2000:]}"
        time.sleep(0.5)
    return found


def test_tap_and_routes_see_every_request(scene: Scene) -> None:
    scene.echo()
    scene.tools()
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
        tap = scene.run("tap", "deploy/echo", "-n", scene.namespace, "-o", "json")
        deadline = time.monotonic() + SEEN_WITHIN
        while not records(tap, "/first"):  # the tap takes a moment to begin
            assert time.monotonic() < deadline, tap.transcript()
            scene.get("http://echo/first")
        report = scene.ask("client", "burst", f"http://{scene.pod_address()}:8080/books/17", COUNT, 50)
        assert report["seen"] == {"200 LOCAL": COUNT}
        found = wait_for(tap, "/books/17", COUNT)
        assert len(found) == COUNT
        assert {(one["status"], one["method"], one["dropped"], one["caller"]["pod"]) for one in found} == {
            (200, "GET", 0, "tools")
        }
        routes = scene.run("routes", "deploy/echo", "-n", scene.namespace, "-t", "2m", "-o", "json")
        assert routes.wait(120) == 0
        rows = {row["route"]: row for row in json.loads(routes.text("stdout"))["deploy/echo"]}
        counted = rows["GET /books/{id}"]
        assert (counted["requests"], counted["failures"], counted["statuses"]) == (COUNT, 0, {"200": COUNT})
        latencies = sorted(one["latency_ms"] for one in found)
        assert abs(counted["latency_ms_p50"] - latencies[COUNT // 2]) <= max(1.0, 0.05 * latencies[COUNT // 2])
        intercept.stop()
        assert tap.wait(120) == 0


def test_attached_tap_sees_every_request(scene: Scene) -> None:
    """Of a workload that nobody intercepts: nothing restarts, every request is told, and what reads along ends."""
    scene.echo()
    scene.tools()
    (before,) = scene.kubectl.pods()
    with scene.unchanged():
        refused = scene.run("tap", "deploy/echo", "-n", scene.namespace)
        assert refused.wait(120) == 1
        assert "--attach" in refused.text("stderr"), refused.transcript()
        tap = scene.run("tap", "deploy/echo", "-n", scene.namespace, "--attach", "-o", "json")
        tap.wait_line(lambda line: "reading along" in line.text, 90, "begin of the tap")
        report = scene.ask("client", "burst", f"http://{scene.pod_address()}:8080/books/17", COUNT, 50)
        assert report["seen"] == {"200 CLUSTER": COUNT}
        found = wait_for(tap, "/books/17", COUNT)
        assert len(found) == COUNT
        assert {(one["status"], one["method"], one["dropped"], one["caller"]["pod"]) for one in found} == {
            (200, "GET", 0, "tools")
        }
        tap.send(signal.SIGINT)
        assert tap.wait(120) == 130, tap.transcript()
        (after,) = scene.kubectl.pods()
        assert (after["metadata"]["uid"], scene.kubectl.restarts()) == (before["metadata"]["uid"], 0)
        deadline = time.monotonic() + SEEN_WITHIN
        while "terminated" not in scene.kubectl.pods()[0]["status"]["ephemeralContainerStatuses"][0]["state"]:
            assert time.monotonic() < deadline, "what reads along is left"
            time.sleep(0.2)
