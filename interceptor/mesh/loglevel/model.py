"""What a proxy's log level is to those who read and set it, whichever mesh it is of; `linkerd` and `envoy` implement it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

from interceptor.errors import InterceptorError
from interceptor.mesh.loglevel.syntax import Wanted
from interceptor.mesh.proxy_http import Answer
from interceptor.mesh.sources.proxies import proxy_in

Object = dict[str, Any]

WITHIN = 10.0  # seconds for one request: connecting to a busy pod included


class LevelRefused(InterceptorError):
    """The proxy answered, and did not do what was asked."""


@dataclass(frozen=True)
class Sidecar:
    """One pod's proxy, as it runs now: `instance` is another after each restart, and then its level is another's too."""

    namespace: str
    pod: str
    container: str
    instance: str
    mesh: str  # Linkerd, Istio, Envoy
    port: int
    given: str = ""  # the level it was started with, where the pod's spec tells

    @property
    def key(self) -> tuple[str, str]:
        """What a level belongs to."""
        return self.pod, self.instance


class Admin(Protocol):
    """The admin port of one proxy. Raises ProxyUnreachable, LevelRefused and what `kube` raises."""

    async def read(self) -> str:
        """The level, as text that `put_back` can be given."""

    async def text_for(self, wanted: Wanted) -> str:
        """What to set, after `read`. Raises UsageError where the proxy can't be told so; changes nothing."""

    async def set(self, text: str) -> str:
        """Set it; returns what the proxy says then, which may be written differently."""

    async def put_back(self, before: str) -> str:
        """Make `read` give `before` again; returns what it gives."""

    async def startup(self) -> str:
        """The level it was started with, "" where nothing tells."""

    def short(self, level: str) -> str:
        """A level for people, without what is in every one of them."""

    def warning(self, level: str) -> str:
        """What to know about logs of this level; "" mostly."""


def sidecar_of(pod: Object, admin_port: int = 0) -> Sidecar | None:
    """The proxy of a pod; None where it has none. Whether it runs is another question: see `running`."""
    proxy = proxy_in(pod)
    if proxy is None:
        return None
    state = _state(pod, proxy.container)
    return Sidecar(
        namespace=pod["metadata"]["namespace"],
        pod=pod["metadata"]["name"],
        container=proxy.container,
        instance=str(state.get("containerID") or ""),
        mesh=proxy.mesh,
        port=admin_port or proxy.admin,
        given=proxy.environ.get("LINKERD2_PROXY_LOG", ""),
    )


def running(pod: Object, sidecar: Sidecar) -> bool:
    """Whether the proxy runs, and the pod is not about to end."""
    state = _state(pod, sidecar.container).get("state") or {}
    return "running" in state and "deletionTimestamp" not in pod["metadata"] and bool(sidecar.instance)


def _state(pod: Object, container: str) -> Object:
    status = pod.get("status") or {}
    states = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    found: Object = next((item for item in states if item["name"] == container), {})
    return found


def refused(sidecar: Sidecar, answer: Answer, what: str) -> LevelRefused:
    """The error for an answer that is none."""
    said = " ".join(answer.text.split())[:160].rstrip(".")
    text = f"the proxy of pod {sidecar.pod} {what}: HTTP {answer.status}"
    return LevelRefused(f"{text} {said}" if said else text, hint=_HINTS.get(answer.status, ""))


_HINTS = {
    403: "it answers loopback only, and this port-forward did not come from there: is something between?",
    404: "its admin port does not offer log levels: is it the admin port? else --admin-port PORT",
}


Outcome = Literal["back", "already", "theirs", "gone"]


@dataclass(frozen=True)
class Back:
    """What putting a level back came to: `theirs`, where somebody else has set another one meanwhile."""

    outcome: Outcome
    now: str = ""
    exact: bool = True


async def put_back(admin: Admin, before: str, ours: str | None) -> Back:
    """Put a level back unless somebody else changed it since it was `ours` (None: not known)."""
    now = await admin.read()
    if now == before:
        return Back("already", now)
    if ours is not None and now != ours:
        return Back("theirs", now)
    now = await admin.put_back(before)
    return Back("back", now, exact=now == before)
