"""Scenario 14: the command's life is the intercept's life, and its exit status is ours."""

import signal
import sys

from e2e.fingerprint import marked
from e2e.scene import Scene, free_port

ECHO = (
    sys.executable,
    "-m",
    "e2e.programs.echo",
    "--word",
    "LOCAL",
    "--host",
    "127.0.0.1",
    "--linger",
    "1",
    "--listen",
)


STATUSES = (("exit 7", 7), ("exit 0", 0), ("kill -TERM $$", 143), ("kill -SEGV $$", 139))


def test_command_status_is_ours(scene: Scene) -> None:
    scene.echo()
    with scene.unchanged():
        for script, status in STATUSES:
            intercept = scene.intercept("deploy/echo", "--", "sh", "-c", f"sleep 0.2; {script}")
            assert intercept.wait(120) == status, intercept.transcript()
            assert intercept.events[-1].name == "restored"


def test_command_serves_until_interrupted(scene: Scene) -> None:
    """Ctrl-C reaches command and client together, as from a terminal; what the command wrote stays readable."""
    load = scene.echo_under_load()
    port = free_port()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{port}:8080", "--", *ECHO, str(port))
        load.wait_for("LOCAL")
        assert f"listening {port}" in intercept.text("stderr")
        intercept.send_group(signal.SIGINT)
        assert intercept.wait(120) == 130, intercept.transcript()
    load.run_for(1)
    report = load.finish()
    assert report[-1].word == "CLUSTER"
    assert not report.failed, report.told()


def test_stubborn_command_is_ended(scene: Scene) -> None:
    """A command that ignores SIGTERM, and its children, are gone when we are."""
    scene.echo()
    script = "trap '' TERM INT; (trap '' TERM INT; sleep 1000) & echo begun; while :; do sleep 1; done"
    with scene.unchanged():
        intercept = scene.intercept("deploy/echo", "--", "sh", "-c", script)
        intercept.wait_line(lambda line: line.text == "begun", 60, "begin of the command")
        assert intercept.stop(signal.SIGTERM, timeout=60) == 143, intercept.transcript()
    assert not marked(scene.marker)


def test_missing_command_refused_first(scene: Scene) -> None:
    scene.echo()
    with scene.unchanged():
        intercept = scene.intercept("deploy/echo", "--", "no-such-program-here")
        assert intercept.wait(120) in (1, 2, 127), intercept.transcript()
        assert not [event for event in intercept.events if event.name == "swapped"]
        assert "no-such-program-here" in intercept.transcript()
