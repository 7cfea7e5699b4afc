"""Scenario 19: a thousand connections at once, with and without somebody listening here."""

from e2e.scene import Scene, free_port


def test_thousand_at_once(scene: Scene) -> None:
    scene.echo()
    scene.tools()
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080")
        seen = scene.ask("client", "burst", "http://echo", 1000, 1000)
        assert seen["seen"] == {"200 LOCAL": 1000}, seen
        scene.measured(f"1000 connections at once: {seen['seconds']:.1f} s, slowest {seen['max']:.0f} ms")
        intercept.stop()


def test_nobody_listens_then_somebody(scene: Scene) -> None:
    """All get a short answer that says why; once the process listens, they get its answer, also those held."""
    scene.echo()
    scene.tools()
    port = free_port()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{port}:8080", "--hold", "2")
        seen = scene.ask("client", "burst", "http://echo", 1000, 1000)
        assert {answer.split(" ")[0] for answer in seen["seen"]} == {"503"}, seen
        assert seen["max"] < 20_000
        pod = scene.kubectl.pods()[0]["status"]["podIP"]
        why = scene.exec("tools", "curl", "-s", "-o", "/dev/stdout", "-w", "\n%{http_code}", f"http://{pod}:8080/")
        assert "503" in why
        assert str(port) in why, why
        scene.local(port=port)
        assert scene.ask("client", "burst", "http://echo", 100, 100)["seen"] == {"200 LOCAL": 100}
        intercept.stop()


def test_held_until_process_listens(scene: Scene) -> None:
    scene.echo()
    load = scene.load(rate=5)
    port = free_port()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{port}:8080", "--hold", "10")
        ready = intercept.wait_for("ready").at
        load.run_for(3)
        scene.local(port=port)
        load.wait_for("LOCAL", after=ready + 3)
        intercept.stop()
    report = load.finish()
    assert not report.failed, report.failed[:3]
