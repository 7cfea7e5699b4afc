"""The client is killed at each of its requests, before it goes out and when its answer is lost: healed every time.

The requests are not listed here: one undisturbed session is recorded, and each kind of request in it becomes a moment to
die. Several clients die at once, each in a namespace of its own.
"""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e import manifests
from e2e.api import Api, Credentials
from e2e.fingerprint import difference, fingerprint, settled, without_history
from e2e.gate import Gate, Shot
from e2e.intercept import Intercept
from e2e.kubectl import Kubectl
from e2e.scene import LONG, PATIENCE, Scene

AT_ONCE = 6
# The template, as promised: a second until an agent sees the end, 3 s for the client to come back; or what an agent takes
# to start, and 2 s of a Lease that does not move. Several at once on two processors may take longer: see `again`.
TEMPLATE_WITHIN = 5.0
# The rest: at once by the agents; by the session object's deadline (10 s, and 20 s around the swap) where there are none.
CLEAN_WITHIN = 35.0
PATIENT = 90.0  # longer than all of it: what comes then still is late, what doesn't is left behind
LATE = "the template was restored too late"
SLOW = "the rest was gone too late"
READS = ("GET ", "POST selfsubjectaccessreviews", "POST selfsubjectrulesreviews", "POST serviceaccounts/token")


@dataclass
class Corner:
    """One namespace with the app in it, and a way to the API server that kills."""

    kubectl: Kubectl
    api: Api
    gate: Gate
    env: dict[str, str]
    port: int

    @property
    def path(self) -> str:
        return f"/apis/apps/v1/namespaces/{self.kubectl.namespace}/deployments/echo"

    @contextmanager
    def client(self, shot: Shot | None) -> Iterator[Intercept]:
        """A client that dies at `shot`."""
        started: list[Intercept] = []
        self.gate.aim(shot, lambda: os.kill(started[0].pid, signal.SIGKILL))
        arguments = ["intercept", "-n", self.kubectl.namespace, "-o", "json", "deploy/echo"]
        with Intercept([*arguments, "--port", f"{self.port}:8080"], self.env) as intercept:
            started.append(intercept)
            yield intercept

    def swapped(self) -> bool:
        return "interceptor/swap" in self.api.json(self.path)["metadata"]["annotations"]

    def rolled_out(self) -> bool:
        found = self.api.json(self.path)
        status = found["status"]
        counts = {status.get(name, 0) for name in ("replicas", "updatedReplicas", "availableReplicas")}
        return counts == {1} and status["observedGeneration"] == found["metadata"]["generation"]

    def answers(self) -> bool:
        status, body = self.api.get(f"/api/v1/namespaces/{self.kubectl.namespace}/services/echo:80/proxy/")
        return status == 200 and body.startswith(b"CLUSTER")


@dataclass
class Outcome:
    """How one death was healed; seconds after it."""

    shot: Shot
    template: float = -1.0
    answer: float = -1.0
    clean: float = -1.0
    history: bool = True  # the agents' ReplicaSet is gone too
    trouble: str = ""  # LATE or SLOW, or worse

    def __str__(self) -> str:
        left = "" if self.history else ", its ReplicaSet stays"
        return (
            f"killed at {self.shot}: template {self.template:.1f} s, answer {self.answer:.1f} s, "
            f"all {self.clean:.1f} s{left}{' ' + self.trouble if self.trouble else ''}"
        )


def shots(seen: list[str]) -> list[Shot]:
    """Every kind of request: reads once, what changes something when its answer is lost.

    Not sent, it leaves the cluster as the request before it did: that is only tried at length.
    """
    chosen: list[Shot] = []
    for request in dict.fromkeys(seen):
        what, number = request.rpartition(" ")[::2]
        reads = what.partition(": ")[2].startswith(READS) and "/exec" not in what and "/portforward" not in what
        if number == "1" or (number == "2" and not reads):
            if reads or LONG:
                chosen.append(Shot(request, False))
            if not reads:
                chosen.append(Shot(request, True))
    return chosen


def record(corner: Corner) -> list[str]:
    """The requests of one whole session."""
    with corner.client(None) as intercept:
        intercept.wait_for("ready", PATIENT)
        corner.gate.enter("stop")
        assert intercept.stop() == 130, intercept.transcript()
        return list(corner.gate.seen)


def until(true: bool, since: float, within: float) -> bool:
    """Whether to look once more; sleeps a little."""
    if true or time.time() - since > within:
        return False
    time.sleep(0.1)
    return True


def die(corner: Corner, shot: Shot) -> Outcome:
    """Kill one client at `shot` and watch the cluster heal."""
    before, outcome = settled(corner.api, corner.kubectl.namespace, PATIENCE), Outcome(shot)
    with corner.client(shot) as intercept:
        if shot.request.startswith("stop: "):
            intercept.wait_for("ready", PATIENT)
            corner.gate.enter("stop")
            intercept.send(signal.SIGINT)
        if not corner.gate.fired.wait(PATIENT):
            outcome.trouble = f"never came to that request\n{intercept.transcript()}"
            return outcome
        killed = corner.gate.fired_at
        assert intercept.wait(30) == -signal.SIGKILL
    while until(not corner.swapped(), killed, PATIENT):
        pass
    outcome.template = time.time() - killed
    while until(corner.answers(), killed, PATIENT):
        pass
    outcome.answer = time.time() - killed
    told = "not looked"
    while until(not told, killed, PATIENT):
        now = fingerprint(corner.api, corner.kubectl.namespace)
        told = difference(before, without_history(now, before))
        outcome.history = not difference(before, now)
    outcome.clean = time.time() - killed
    while until(corner.rolled_out(), killed, PATIENT):
        pass
    if told:
        outcome.trouble = f"left behind:\n{told}"
    elif outcome.template > TEMPLATE_WITHIN:
        outcome.trouble = LATE
    elif outcome.clean > CLEAN_WITHIN:
        outcome.trouble = SLOW
    return outcome


def again(corner: Corner, outcome: Outcome) -> Outcome:
    """Who was late dies once more, with nothing beside it; up to three times, for the machine may be another's too."""
    for _ in range(3):
        if outcome.trouble in (LATE, SLOW):
            outcome = die(corner, outcome.shot)
            print(f"once more: {outcome}")
    return outcome


@contextmanager
def corners(scene: Scene, count: int, port: int) -> Iterator[list[Corner]]:
    with ExitStack() as stack:
        found = []
        for number in range(count):
            kubectl = Kubectl(scene.kubectl.kubeconfig, f"{scene.namespace}-{number}")
            kubectl("create", "namespace", kubectl.namespace)
            stack.callback(kubectl, "delete", "namespace", kubectl.namespace, "--wait=false")
            folder: Path = scene.folder / f"corner-{number}"
            folder.mkdir()
            kubectl.apply(manifests.deployment(scene.container()), manifests.service())
            gate = stack.enter_context(Gate(kubectl, folder))
            api = stack.enter_context(Api(Credentials(kubectl)))
            env = scene.environment(KUBECONFIG=str(gate.kubeconfig), USER=f"user{number}")
            found.append(Corner(kubectl, api, gate, env, port))
        for corner in found:
            corner.kubectl.rolled_out("deployment/echo")
        yield found


@pytest.mark.timeout(600)
def test_killed_at_each_request(scene: Scene) -> None:
    local = scene.local()
    with corners(scene, AT_ONCE, local.port) as free:
        chosen = shots(record(free[0]))
        print(f"{len(chosen)} moments to die")
        waiting = list(free)

        def one(shot: Shot) -> Outcome:
            corner = waiting.pop()
            try:
                outcome = die(corner, shot)
                print(outcome)
                return outcome
            finally:
                waiting.append(corner)

        with ThreadPoolExecutor(AT_ONCE, "death") as pool:
            outcomes = list(pool.map(one, chosen))
        outcomes = [again(free[0], outcome) for outcome in outcomes]
    for outcome in outcomes:
        scene.measured(str(outcome))
    assert not [str(outcome) for outcome in outcomes if outcome.trouble]
    scene.expect_nothing_here()
