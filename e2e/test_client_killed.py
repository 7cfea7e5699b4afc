"""Scenarios 20 and 21: the client dies, freezes or loses its link; the pods heal themselves, or wait for it."""

import os
import signal
import sys
import time

from e2e.fingerprint import marked
from e2e.load import Load, Report
from e2e.scene import LONG, PATIENCE, Scene, free_port

AWAY = "not connected"  # what a caller reads who waited longer than `--hold`
LOST = (
    "they had lost this program",
    "took the swap back",
    "lease",
    "session object",
)  # how a client says that its session was ended without it


def healed(scene: Scene, load: Load, at: float) -> None:
    """The app in the cluster answers again: nobody but the agents can have seen to that."""
    scene.measured(f"healed after {load.wait_for('CLUSTER', after=at, timeout=PATIENCE).end - at:.1f} s")


def begin(scene: Scene, replicas: int = 1, kubeconfig: str | None = None) -> tuple[Load, dict[str, str]]:
    load = scene.echo_under_load(replicas=replicas)
    load.wait_for("CLUSTER")
    return load, scene.environment(**({"KUBECONFIG": kubeconfig} if kubeconfig else {}))


def test_killed_client_heals(scene: Scene) -> None:
    """Callers get the app again, another developer may take over at once, and the dead one's command is gone too."""
    load, _ = begin(scene, replicas=2)
    before = scene.fingerprint()
    port = str(free_port())
    serve = (sys.executable, "-m", "e2e.programs.echo", "--word", "LOCAL", "--host", "127.0.0.1", "--listen", port)
    first = scene.started("deploy/echo", "--port", f"{port}:8080", "--", *serve)
    load.wait_steady("LOCAL")
    killed = time.time()
    first.send(signal.SIGKILL)
    healed(scene, load, killed)
    scene.expect_same(before)
    scene.kubectl.rolled_out("deployment/echo")
    seen = Report(one for one in load.answers if one.at > killed)
    scene.measured(f"failed meanwhile: {len(seen.failed)} of {len(seen)}")
    left = marked(scene.marker)
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    local = scene.local("SECOND")
    second = scene.started("deploy/echo", "--port", f"{local.port}:8080")
    load.wait_for("SECOND")
    second.stop()
    scene.expect_same(before)
    assert not left, left


def test_frozen_client_heals(scene: Scene) -> None:
    """A client that is stopped (or a machine asleep) is away, not gone: silence, then the cluster has its app again.

    It wakes up late, changes nothing any more, and says what happened.
    """
    load, _ = begin(scene)
    before = scene.fingerprint()
    local = scene.local()
    intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
    load.wait_steady("LOCAL")
    frozen = time.time()
    intercept.send(signal.SIGSTOP)
    healed(scene, load, frozen)
    scene.expect_same(before)
    if LONG:
        load.run_for(max(0.0, frozen + 60 - time.time()))
    woken = time.time()
    intercept.send(signal.SIGCONT)
    status = intercept.wait(120)
    scene.measured(f"woken client ended after {time.time() - woken:.1f} s")
    assert status == 1, intercept.transcript()
    told = intercept.wait_for("failed")["text"]
    assert any(words in told for words in LOST), told
    scene.expect_same(before)
    scene.expect_nothing_here()


def test_long_cut_heals(scene: Scene) -> None:
    """The link is away for long: healed after the Lease; when it is back the client says so and ends."""
    link = scene.link()
    load, env = begin(scene, kubeconfig=str(link.kubeconfig))
    before = scene.fingerprint()
    local = scene.local()
    intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080", env=env)
    load.wait_steady("LOCAL")
    cut = time.time()
    link.cut()
    healed(scene, load, cut)
    scene.expect_same(before)
    if LONG:
        load.run_for(max(0.0, cut + 60 - time.time()))
    assert intercept.status is None, intercept.transcript()
    link.mend()
    mended = time.time()
    assert intercept.wait(120) == 1, intercept.transcript()
    scene.measured(f"ended {time.time() - mended:.1f} s after the link was back")
    told = intercept.wait_for("failed")["text"]
    assert any(words in told for words in LOST), told
    scene.expect_same(before)
    scene.expect_nothing_here()


def test_short_blip_costs_nothing(scene: Scene) -> None:
    """Seven seconds without a link: no swap back, and local again after its return."""
    link = scene.link()
    load, env = begin(scene, kubeconfig=str(link.kubeconfig))
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080", env=env)
        load.wait_steady("LOCAL")
        (pod,) = scene.kubectl.pods()
        cut = time.time()
        link.cut()
        load.run_for(7)
        link.mend()
        mended = time.time()
        back = load.wait_for("LOCAL", after=mended)
        scene.measured(f"local again {back.end - mended:.1f} s after the link")
        (same,) = scene.kubectl.pods()
        assert same["metadata"]["uid"] == pod["metadata"]["uid"]
        intercept.stop()
    report = load.finish()
    assert "CLUSTER" not in Report(report).between(cut, mended).words(), report.told()
    # Who was in the middle of a request when the link went can't be served again: that one is reset, and only that. The
    # others have waited, or read why they did not: a machine that stands still keeps the client away for longer than we do.
    failed = [one for one in report.failed if one.at > cut + 0.1 and not (one.status == 503 and AWAY in one.text)]
    assert not failed, failed[:3]


def test_stopped_without_link(scene: Scene) -> None:
    """Ctrl-C while the API server is out of reach: the client gives up and says who restores; the agents do."""
    link = scene.link()
    load, env = begin(scene, kubeconfig=str(link.kubeconfig))
    before = scene.fingerprint()
    local = scene.local()
    intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080", env=env)
    load.wait_steady("LOCAL")
    cut = time.time()
    link.cut()
    status = intercept.stop(timeout=120)
    scene.measured(f"gave up after {time.time() - cut:.1f} s")
    assert status == 1, intercept.transcript()
    failed = intercept.wait_for("failed")
    assert "could not be restored" in failed["text"], intercept.transcript()
    assert "the agents restore it" in failed["hint"], intercept.transcript()
    healed(scene, load, cut)
    scene.expect_same(before)
    scene.expect_nothing_here()


def test_stopped_in_a_blip(scene: Scene) -> None:
    """Ctrl-C while the link is away for a few seconds: undone as ever once it is back."""
    link = scene.link()
    load, env = begin(scene, kubeconfig=str(link.kubeconfig))
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080", env=env)
        load.wait_steady("LOCAL")
        link.cut()
        intercept.send(signal.SIGINT)
        load.run_for(5)
        assert intercept.status is None, intercept.transcript()
        link.mend()
        assert intercept.wait(120) == 130, intercept.transcript()
    load.wait_for("CLUSTER")
