"""The local process crashes, comes back and hangs: callers get an answer or a reason, the pod stays as it is."""

import signal
import time

from e2e.load import Answer
from e2e.scene import PATIENCE, Scene

HOLD = 2


def test_process_crashes_returns_and_hangs(scene: Scene) -> None:
    """Callers wait for `--hold`, then read why; those of the last moments get the new process."""
    load = scene.echo_under_load(rate=20)
    local = scene.local()
    with scene.unchanged():
        intercept = scene.started("deploy/echo", "--port", f"{local.port}:8080", "--hold", str(HOLD))
        load.wait_steady("LOCAL")
        died = time.time()
        local.send(signal.SIGKILL)
        local.wait(120)

        def refusals() -> list[Answer] | None:
            return [one for one in load.answers if one.at > died + 0.5 and one.status != 200] or None

        load.wait_until(refusals, PATIENCE, "refusal")
        load.run_for(2)
        refused = refusals() or []
        assert {one.status for one in refused} == {503}, refused[:3]
        waited = sorted(one.ms for one in refused)
        assert waited[0] >= HOLD * 900, refused[:3]
        assert waited[len(waited) // 2] <= HOLD * 1000 + 1500, refused[:3]  # some meet a machine that stands still
        assert all(f"nothing listens on 127.0.0.1:{local.port}" in one.text for one in refused), refused[:3]
        returned = time.time()
        again = scene.local("AGAIN", local.port)
        back = load.wait_for("AGAIN", after=died)
        scene.measured(f"the new process answered {back.end - returned:.1f} s after its start")
        load.wait_steady("AGAIN")

        # It accepts and says nothing, as at a breakpoint: callers wait, and then all are answered.
        hung = time.time()
        again.send(signal.SIGSTOP)
        load.run_for(5)
        (pod,) = scene.kubectl.pods()
        assert pod["status"]["containerStatuses"][0]["ready"]
        woken = time.time()
        again.send(signal.SIGCONT)
        load.wait_for("AGAIN", after=woken)
        assert scene.kubectl.restarts() == 0
        assert intercept.stop() == 130, intercept.transcript()
    asked = {one.word for one in load.finish() if hung < one.at < woken}
    assert asked == {"AGAIN"}
