"""What others do to the workload while it is held: `intercept` runs it, tells of it, and ends the session where it must.

Nothing is fought. Whoever writes to a place that the swap needs (an image of theirs, a re-applied manifest, Argo CD)
wins, and the session ends in order; whatever else changes is followed, for the agents come and go with the pods.
docs/merge.md has the table.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster
from interceptor.session.events import Event, Teller
from interceptor.session.plan import Plan
from interceptor.swap import disturbed, record_of, restore
from interceptor.swap.path import Path, text
from interceptor.workload.edits import AGENT, Author, author_of, edits, words

Object = dict[str, Any]

MOST_KEPT = 50  # of the places that others changed, for the last word
_AGAIN = "to intercept again, run the same command"
_HEALERS = {
    "Argo CD": "pause its self-heal first (argocd app set APP --sync-policy none), then run the same command",
    "Flux": "suspend it first (flux suspend kustomization NAME), then run the same command",
    "Flux (Helm)": "suspend it first (flux suspend helmrelease NAME), then run the same command",
}


class TakenByOthers(InterceptorError):
    """Somebody else's change ends the session. `by` and `at` say whose, as far as the cluster knows."""

    def __init__(self, message: str, author: Author) -> None:
        super().__init__(message, hint=_HEALERS.get(author.program, _AGAIN))
        self.author = author


@dataclass
class Others:
    """Follows one workload from the swap on."""

    cluster: Cluster
    plan: Plan
    swapped: Object  # as the swap left it
    teller: Teller
    on_end: Callable[[InterceptorError], None]
    current: Object = field(init=False)  # as it was seen last
    changed: list[str] = field(default_factory=list)  # what stays theirs when the session ends

    def __post_init__(self) -> None:
        self.current = self.swapped

    @property
    def paused(self) -> bool:
        """Whether somebody holds its rollout: then restored pods come only when it is resumed."""
        return bool(self.current["spec"].get("paused"))

    async def watch(self) -> None:
        """Follow until cancelled, or until it is no longer ours."""
        ref = self.plan.names.ref
        events = self.cluster.watch(ref.resource, ref.namespace, field_selector=f"metadata.name={ref.object}")
        seen = False
        async with aclosing(events):
            async for event in events:
                error: InterceptorError | None = None
                if event.type == "DELETED" or (event.type == "SYNCED" and not seen):
                    error = InterceptorError(f"{self.plan.title} was deleted by somebody")
                elif event.type != "SYNCED":
                    seen = True
                    error, self.current = self._judge(self.current, event.object), event.object
                if error is not None:
                    self.on_end(error)
                    return

    def _judge(self, before: Object, now: Object) -> InterceptorError | None:
        """Tell what is worth it of one state; the error where it ends the session."""
        if now["metadata"].get("deletionTimestamp"):
            return InterceptorError(f"{self.plan.title} is being deleted by somebody")
        places = edits(before, now)
        if not places and record_of(now) == record_of(before):
            return None
        author = author_of(before, now, places)
        error = taken(self.plan, now, author)
        if error is None and places:
            self._keep(places)
            for event in followed(self.plan, now, places, author):
                self.teller.tell(event)
        return error

    def _keep(self, places: list[Path]) -> None:
        for place in places:
            if (name := text(place)) not in self.changed and len(self.changed) < MOST_KEPT:
                self.changed.append(name)


def taken(plan: Plan, now: Object, author: Author) -> InterceptorError | None:
    """Why it is not ours any more."""
    title, at = plan.title, f" at {author.at}" if author.at else ""
    record = record_of(now)
    if author.program == AGENT and (record is None or disturbed(now, record)):
        return TakenByOthers(f"{title}: an agent restored it{at}, having lost this program", author)
    if record is None:
        return TakenByOthers(f"{title}: {author} took the swap back{at}", author)
    if record.session != plan.names.session:
        return TakenByOthers(f"{title}: {record.holder} intercepts it now", author)
    containers = {item["name"]: item for item in now["spec"]["template"]["spec"]["containers"]}
    container = containers.get(plan.swap.container)
    if container is None:
        return TakenByOthers(f"{title}: {author} removed container {plan.swap.container}{at}", author)
    theirs = restore(now).kept
    if plan.swap.image is None and container.get("image") != image_of(plan):
        theirs.append(f"spec.template.spec.containers[{plan.swap.container}].image")
    if theirs:
        return TakenByOthers(f"{title}: {author} changed {words(theirs)}{at}; that stays, the rest goes back", author)
    if moved := disturbed(now, record):
        back = words(map(text, moved))
        return TakenByOthers(f"{title}: {author} put back {back}{at}; the rest goes back too", author)
    return None


def image_of(plan: Plan) -> str:
    """The container's image when we looked."""
    containers = plan.workload["spec"]["template"]["spec"]["containers"]
    return str(next(item.get("image") for item in containers if item["name"] == plan.swap.container))


def followed(plan: Plan, now: Object, places: list[Path], author: Author) -> list[Event]:
    """What to say of a change that the session goes on with."""
    title, at = plan.title, f" at {author.at}" if author.at else ""
    details: dict[str, object] = {"by": str(author), "at": author.at}
    told = []
    if ("spec", "replicas") in places:
        replicas = int(now["spec"].get("replicas", 1))
        details["replicas"] = replicas
        by = f" by {author}" if author.program else ""  # the API server doesn't always keep who used `scale`
        if replicas == 0:
            waiting = f"{title} is scaled to 0{by}{at}: no pod to serve for"
            told.append(Event("waiting", waiting, details=details))
        else:
            told.append(Event("note", f"{title} is scaled to {replicas}{by}{at}", details=details))
    if ("spec", "paused") in places and now["spec"].get("paused"):
        paused = f"{author} paused {title}{at}: its pods stay as they are, also at the end, until it is resumed"
        told.append(Event("note", paused, details=details))
    rest = [place for place in places if place not in (("spec", "replicas"), ("spec", "paused"))]
    if rest:
        changed = f"{author} changed {words(map(text, rest))} of {title}{at}: that stays"
        if any(place[:2] == ("spec", "template") for place in rest):
            changed += "; the pods that come of it are served here too"
        told.append(Event("note", changed, details={**details, "changed": [text(place) for place in rest]}))
    return told
