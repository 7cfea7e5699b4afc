"""Scenario 19: a thousand connections at once, with and without somebody listening here."""

import time

from e2e.scene import Scene, free_port


def test_thousand_at_once(scene: Scene) -> None:
    scene.echo()
    scene.tools()
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
        scene.expect("http://echo/", "200 LOCAL")
        seen = scene.ask("client", "burst", "http://echo", 1000, 1000)
        assert seen["seen"] == {"200 LOCAL": 1000}, seen
        scene.measured(f"1000 connections at once: {seen['seconds']:.1f} s, slowest {seen['max']:.0f} ms")
        intercept.stop()


def test_nobody_listens_then_somebody(scene: Scene) -> None:
    """All get a short answer that says why; once the process listens, they get its answer."""
    scene.echo()
    scene.tools()
    port = free_port()
    with scene.unchanged():
        intercept = scene.intercept("deploy/echo", "--port", f"{port}:8080", "--hold", "2")
        intercept.wait_for("connected")
        scene.kubectl.rolled_out("deployment/echo")
        url = f"http://{scene.pod_address()}:8080/"
        seen = scene.ask("client", "burst", url, 1000, 1000)
        assert {answer.split(" ")[0] for answer in seen["seen"]} == {"503"}, seen
        scene.measured(f"1000 answers that nobody listens: {seen['seconds']:.1f} s, slowest {seen['max']:.0f} ms")
        why = scene.in_tools("curl", "-s", "-w", " %{http_code}", url)
        assert why.endswith("503")
        assert str(port) in why, why
        scene.local(port=port)
        intercept.wait_for("ready")
        assert scene.ask("client", "burst", url, 100, 100)["seen"] == {"200 LOCAL": 100}
        intercept.stop()


def test_restart_of_process_is_bridged(scene: Scene) -> None:
    """While the local process is away (a reload), callers wait for it; none fails."""
    load = scene.echo_under_load(rate=20)
    first = scene.local("FIRST")
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{first.port}:8080")
        steady = load.wait_steady("FIRST").at
        first.close()
        load.run_for(3)
        scene.local("SECOND", port=first.port)
        load.wait_steady("SECOND")
        stopped = time.time()
        intercept.stop()
    report = load.finish()
    assert not report.failed, report.failed[:3]
    held = report.between(steady, stopped)
    assert [word for word, _ in held.sequence()] == ["FIRST", "SECOND"], report.told()
