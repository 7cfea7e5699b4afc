"""One `interceptor profile set`, readable from top to bottom: look, ask, change, watch what callers get, take back.

The session is an intercept's: session object, Lease, and a guard that takes the change back when this program is gone; here
it is a pod of its own. The record of the change is on the changed object itself, so that anybody can take it back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import UTC, datetime

from interceptor.errors import InterceptorError, UsageError
from interceptor.kube import Cluster, Conflict, NotFound
from interceptor.kube.resources import JOBS
from interceptor.mesh.profile.proof import asked_of
from interceptor.mesh.sources.model import Query
from interceptor.session.access import open_cluster
from interceptor.session.events import Event, Teller
from interceptor.session.keeper import Keeper, Stage
from interceptor.session.profile_effect import Effect, Figures
from interceptor.session.profile_guard import start_guard
from interceptor.session.profile_plan import ProfilePlan, ProfileSetOptions, describe, details_of, look
from interceptor.session.profile_words import comparison
from interceptor.session.services import Services, with_services
from interceptor.session.undo import Undo, not_taken_back
from interceptor.swap.policy import policy_record_of
from interceptor.workload import lease, objects
from interceptor.workload.life import AlreadyIntercepted, holder_of, since_of
from interceptor.workload.policy import undo_policy
from interceptor.workload.rights import needed_for_profile
from interceptor.workload.role import role, yaml_of

Confirm = Callable[[str], Awaitable[bool]]

WRITES = 4  # a controller may write the object's status between our look and our write


async def set_profile(options: ProfileSetOptions, teller: Teller, confirm: Confirm | None = None) -> int:
    """Change a route for a time; 0 when the time is up and all is as before. Raises InterceptorError."""
    began = time.monotonic()
    async with open_cluster(options.access) as cluster:
        with teller.busy(f"looking at {options.service}"):
            plan = await look(cluster, options)
        details = details_of(plan)
        details["plan"] = _shown(plan, options)
        teller.tell(Event("planned", describe(plan), time.monotonic() - began, details))
        for note in plan.notes:
            teller.tell(Event("note", note))
        if options.dry_run:
            return 0
        if not options.yes:
            if confirm is None:
                raise UsageError("nobody is there to be asked", hint="add --yes, or look first with --dry-run")
            if not await confirm(f"change {plan.title}{' for ' + _minutes(options.lasts) if options.lasts else ''}?"):
                teller.tell(Event("note", "nothing was changed"))
                return 1
        return await _Setting(cluster, plan, options, teller).run()


def _shown(plan: ProfilePlan, options: ProfileSetOptions) -> dict[str, list[object]]:
    shown: dict[str, list[object]] = {"the change": [*details_of(plan)["diff"]]}  # type: ignore[misc]
    if options.dry_run:
        edit = plan.edit
        needed = needed_for_profile(edit.resource, edit.name, guard=plan.guarded, made=edit.before is None)
        shown["the Role that allows it"] = [
            *yaml_of([role(needed, plan.names.lease, plan.names.namespace)]).splitlines()
        ]
    return shown


class _Setting:
    """What lives between the first change and the last undo."""

    def __init__(self, cluster: Cluster, plan: ProfilePlan, options: ProfileSetOptions, teller: Teller) -> None:
        self._cluster, self._plan, self._options, self._teller = cluster, plan, options, teller
        self._names = plan.names
        self._undo = Undo()
        self._changed = False
        self._reverted = False
        self._kept: list[str] = []
        service = plan.found.name
        query = Query(self._names.namespace, "Service", service, options.window, to=service)
        self._effect = Effect(cluster, options.access, query, asked_of(plan.edit))

    async def run(self) -> int:
        """Change, watch, and take back whatever happens."""
        return await with_services(self._act, self._take_back)

    async def _act(self, services: Services) -> int:
        with self._teller.busy("measuring what callers get now"):
            await self._effect.begin()
            before = await self._effect.figures(self._options.window)
        if before is not None and before.route is not None:
            self._teller.tell(Event("measured", comparison(None, before), details={"before": before.to_json()}))
        async with asyncio.TaskGroup() as group:
            over = group.create_task(services.raise_when_over(), name="end of the session")
            try:
                await self._begin(services)
                await self._change(services)
                await self._watch(before)
            finally:
                over.cancel()
        return 0

    async def _begin(self, services: Services) -> None:
        """Create what the session owns, and have it guarded before anything is changed."""
        cluster, names = self._cluster, self._names
        keeper = Keeper(cluster, names, self._teller, services.end)
        self._undo.add("the session object", self._delete_session)
        owner = objects.owner_reference(
            await cluster.create(JOBS, names.namespace, objects.job(names, Stage.ALONE.ahead))
        )
        services.start("push the deadline", keeper.push_deadline())
        held = await self._lock(owner)
        services.start("renew the lease", keeper.renew_lease(held))
        held.settle()
        if self._plan.guarded:
            with self._teller.busy("starting the guard"):
                await start_guard(cluster, self._plan, owner)
            services.start("renew the guard's token", keeper.renew_token())
            await keeper.swapping()
            keeper.enter(Stage.HELD)
        else:
            await keeper.remember()

    async def _lock(self, owner: objects.Object) -> lease.HeldLease:
        taken: list[lease.HeldLease] = []

        async def release() -> None:
            for one in taken:
                await one.release()

        self._undo.add("the lease", release)
        try:
            taken.append(await lease.acquire(
                self._cluster, self._names, owner, self._plan.record.holder,
                waiting=lambda text: self._teller.tell(Event("waiting", text)),
            ))  # fmt: skip
        except AlreadyIntercepted as error:
            found = error.found
            raise InterceptorError(
                f"{self._plan.title} is being changed by {holder_of(found)} since {since_of(found)}",
                hint=f"ask them to stop, or: interceptor profile undo {self._plan.found.title} --force",
            ) from error
        return taken[0]

    async def _change(self, services: Services) -> None:
        began = time.monotonic()
        self._undo.add("the change", self._revert)
        self._changed = True
        for attempt in range(WRITES):
            self._plan = await self._plan.renewed(self._cluster, self._options.lasts)
            try:
                await self._plan.write(self._cluster)
                break
            except InterceptorError as error:
                if not isinstance(error.__cause__, Conflict) or attempt == WRITES - 1:
                    raise
        services.start("watch the object", self._watch_object(services))
        until = f" until {self._plan.record.until}" if self._plan.record.until else "; Ctrl-C takes it back"
        guard = "" if self._plan.guarded else " (no guard)"
        text = f"{self._plan.title} is changed{until}{guard}"
        self._teller.tell(Event("ready", text, time.monotonic() - began, {"object": self._plan.title}))

    async def _watch(self, before: Figures | None) -> None:
        """Show what callers get until the time is up, or for ever; say when the proxies have shown that they took it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._options.lasts if self._options.lasts else None
        told = ""
        if self._effect.note and (await self._effect.prove()).state != "impossible":  # which says it too
            self._teller.tell(Event("note", self._effect.note))
        while until is None or loop.time() < until:
            window = self._options.window if until is None else min(self._options.window, until - loop.time())
            now = await self._effect.figures(window)
            proof = await self._effect.prove()
            if proof.text != told:
                told = proof.text
                self._teller.tell(Event("note", proof.text, details={"proof": proof.state}))
            if now is not None and now.route is not None and now.seconds:
                details = {"before": before.to_json() if before is not None else None, "now": now.to_json()}
                self._teller.tell(Event("measured", comparison(before, now), details=details))

    async def _watch_object(self, services: Services) -> None:
        """End when somebody takes the change back: `profile undo` elsewhere, GitOps, a person."""
        names = self._names
        events = self._cluster.watch(
            names.ref.resource, names.namespace, field_selector=f"metadata.name={names.ref.name}"
        )
        async with aclosing(events):
            async for event in events:
                if event.type == "SYNCED":
                    continue
                record = None if event.type == "DELETED" else policy_record_of(event.object)
                if record is None or record.session != names.session:
                    what = "deleted" if event.type == "DELETED" else "taken back"
                    services.end(InterceptorError(f"the change of {self._plan.title} was {what} by somebody else"))
                    return

    async def _revert(self) -> None:
        undone = await undo_policy(self._cluster, self._names.ref, self._names.session)
        self._kept, self._reverted = undone.kept, True

    async def _delete_session(self) -> None:
        if self._changed and not self._reverted:
            return  # the guard lives of it, and takes back what we could not
        try:
            await self._cluster.delete(JOBS, self._names.namespace, self._names.object)
        except NotFound:
            return  # never created, or the guard was faster

    async def _take_back(self) -> None:
        began = time.monotonic()
        failures = await self._undo.run()
        title = self._plan.title
        if failures:
            hint = f"interceptor profile undo {self._plan.found.title} -n {self._names.namespace}"
            if self._plan.guarded and not self._reverted:
                hint = f"the guard goes on trying; or, when the cluster can be reached: {hint}"
            raise not_taken_back(failures, hint)
        if self._changed:
            text = f"{title} is gone again" if self._plan.edit.before is None else f"{title} is as it was"
            if self._kept:
                text += f", but for what others changed: {', '.join(self._kept)}"
            details = {"object": title, "kept": self._kept, "time": datetime.now(UTC).isoformat()}
            self._teller.tell(Event("restored", text, time.monotonic() - began, details))


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"
