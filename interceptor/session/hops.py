"""The hops of an intercept's way, and what one pod and its agent say of theirs; `status` puts them in order. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from interceptor.session.holding import Holding
from interceptor.session.pods import Pod
from interceptor.workload.trouble import pod_trouble

Object = dict[str, Any]
State = Literal["ok", "failed", "skipped"]
HopName = Literal["API server", "rights", "client", "service", "pod", "agent", "tunnel", "local process"]

APP_RUNS = "the app runs in place"  # what an agent says that gave its place up


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of the way. `ms` is its round trip, where there is one; "skipped" waits for a hop before it."""

    name: HopName
    state: State
    text: str
    ms: float | None = None
    pod: str = ""
    hint: str = ""


@dataclass(slots=True)
class Report:
    """One session's way, in the order in which a fault explains those behind it."""

    holding: Holding
    hops: list[Hop] = field(default_factory=list)

    @property
    def failing(self) -> Hop | None:
        """The first hop that fails."""
        return next((hop for hop in self.hops if hop.state == "failed"), None)


class AgentHops:
    """The hops of one pod."""

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        self.hops: list[Hop] = []
        self.ports: list[int] = []

    @property
    def logs(self) -> str:
        """What to type for the agent's own words."""
        return f"see kubectl logs {self.pod.name} -n {self.pod.raw['metadata']['namespace']}"

    def fail(self, name: HopName, text: str, hint: str = "", ms: float | None = None) -> None:
        """The way ends here."""
        self.hops.append(Hop(name, "failed", text, ms, self.pod.name, hint))

    def pod_hop(self) -> bool:
        """Whether there can be an agent to ask."""
        trouble = next((item.text for item in pod_trouble(self.pod.raw) if item.text), "")
        where = f"see kubectl describe pod {self.pod.name} -n {self.pod.raw['metadata']['namespace']}"
        if not self.pod.running:
            self.fail("pod", trouble or "its container does not run", where)
        elif not self.pod.ready:  # the agent tells why, so go on
            self.fail("pod", "it is not ready, so Services don't send to it", where)
        else:
            self.hops.append(Hop("pod", "ok", "it runs the agent and is ready", None, self.pod.name))
        if not self.pod.running:
            self.skip_rest()
        return self.pod.running

    def agent_hop(self, view: Object, ms: float) -> bool:
        """Whether a probe can get further than the agent."""
        self.ports = [int(port) for port in view.get("ports") or []]
        if view.get("guard") == APP_RUNS:
            hint = f"to take the swap back: interceptor restore, then intercept again; {self.logs}"
            self.fail("agent", "it took the client for gone and runs the app's own command in place", hint, ms)
            return False
        guard = {"off": "without a guard"}.get(str(view.get("guard")), f"guard {view.get('guard')}")
        self.hops.append(Hop("agent", "ok", f"it answers through the API server; {guard}", ms, self.pod.name))
        tunnel = view.get("tunnel") or {}
        if not tunnel.get("up"):
            text = f"the agent has no tunnel to the client since {tunnel.get('seconds', 0):g} s: {tunnel.get('text')}"
            self.fail("tunnel", text, "is the client's machine awake and online?")
            return False
        text = f"up for {tunnel.get('seconds', 0):g} s, {tunnel.get('streams', 0)} connections"
        self.hops.append(Hop("tunnel", "ok", text, float(tunnel.get("round_trip_ms", 0.0)), self.pod.name))
        return True

    def probe_hop(self, answer: Object) -> None:
        """What came of the call to the pod's own ports."""
        ports = ", ".join(map(str, self.ports))
        if answer.get("ok"):
            text = f"a call to the pod's port {ports} was accepted there"
            if not self.ports:
                text = "it has UDP ports only: whether somebody listens can't be asked"
            self.hops.append(Hop("local process", "ok", text, float(answer.get("ms", 0.0)), self.pod.name))
        else:
            self.fail("local process", str(answer.get("error", "no reason given")), "start it, or see what it prints")

    def skip_rest(self) -> None:
        """Name the hops that nobody got to."""
        names: tuple[HopName, ...] = ("agent", "tunnel", "local process")
        have = {hop.name for hop in self.hops}
        self.hops += [Hop(name, "skipped", "not reached", None, self.pod.name) for name in names if name not in have]
