"""The look before `profile set` changes anything: from options to a plan, or to the one line that says why not.

Asked in this order: is there such a Service and route, can it be said, does somebody else hold or keep the object, are the
rights there, and what does the API server say to it (a dry run goes through its schema and webhooks, and changes nothing).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from interceptor.errors import InterceptorError, UsageError
from interceptor.kube import ApiError, Cluster, NotFound
from interceptor.kube.resources import SERVICE_PROFILES
from interceptor.mesh.profile.apply import applied, difference, owners, removed
from interceptor.mesh.profile.edit import Edit, Wanted, edit
from interceptor.mesh.profile.read import InForce, read
from interceptor.session.options import Access
from interceptor.session.plan import PUBLIC_IMAGE, holder
from interceptor.swap import json_patch, precondition
from interceptor.swap.path import ABSENT
from interceptor.swap.policy import FIELD_MANAGER, PolicyRecord, digest, policy_record_of, with_policy_record
from interceptor.workload import allowed, rights
from interceptor.workload import owners as keepers
from interceptor.workload.names import new_session
from interceptor.workload.objects import SessionNames
from interceptor.workload.policy import explained, policy_kind

Object = dict[str, Any]

STAMP = "%Y-%m-%d %H:%M:%S UTC"


@dataclass(frozen=True)
class ProfileSetOptions:
    """One `interceptor profile set`."""

    service: str
    wanted: Wanted
    lasts: float = 0.0  # seconds; 0: until Ctrl-C
    dry_run: bool = False
    yes: bool = False
    guard: bool = True
    guard_image: str = ""
    force_conflicts: bool = False
    window: float = 10.0
    domain: str = ""
    access: Access = field(default_factory=Access)


@dataclass(frozen=True)
class ProfilePlan:
    """Everything decided, nothing done."""

    found: InForce
    edit: Edit
    names: SessionNames
    record: PolicyRecord
    force: bool
    guarded: bool
    image: str
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        """The object, as people type it."""
        return self.edit.title

    def as_of_now(self, lasts: float) -> ProfilePlan:
        """The same, its record's times counted from now on: measuring and the guard's start took a while."""
        now = datetime.now(UTC)
        until = (now + timedelta(seconds=lasts)).strftime(STAMP) if lasts else ""
        return replace(self, record=replace(self.record, since=now.strftime(STAMP), until=until))

    async def renewed(self, cluster: Cluster, lasts: float) -> ProfilePlan:
        """The same at the object's newest version, as a controller may have written its status meanwhile.

        Raises InterceptorError where it is no longer what the person was shown.
        """
        plan, before = self.as_of_now(lasts), self.edit.before
        if before is None:
            return plan
        try:
            now = await cluster.get(self.edit.resource, self.names.namespace, self.edit.name)
        except NotFound:
            raise InterceptorError(f"{self.title} was deleted meanwhile", hint="nothing was changed") from None
        if digest(now) != self.record.digest or policy_record_of(now) is not None:
            raise InterceptorError(f"{self.title} was changed by somebody meanwhile", hint="look again: same command")
        metadata = {**self.edit.after["metadata"], "resourceVersion": now["metadata"]["resourceVersion"]}
        change = replace(
            self.edit,
            before={**before, "metadata": {**before["metadata"], "resourceVersion": metadata["resourceVersion"]}},
            after={**self.edit.after, "metadata": metadata},
        )
        managers = tuple(now["metadata"].get("managedFields") or ())
        return replace(plan, edit=change, record=replace(plan.record, managers=managers))

    async def write(self, cluster: Cluster, *, dry_run: bool = False) -> Object:
        """Send the change with its record, as one request. Raises InterceptorError in words for it."""
        change = replace(self.edit, after=with_policy_record(self.edit.after, self.record))
        resource, namespace, name = change.resource, self.names.namespace, change.name
        try:
            if change.before is None:
                return await cluster.create(resource, namespace, change.after, dry_run=dry_run, manager=FIELD_MANAGER)
            if removed(change):  # applying can't take away what somebody else owns
                version = precondition(change.before["metadata"]["resourceVersion"])
                operations = [version, *json_patch(change.before, change.after)]
                return await cluster.patch(
                    resource, namespace, name, operations, dry_run=dry_run, manager=FIELD_MANAGER
                )
            body = applied(change)
            body["metadata"].setdefault("annotations", {}).update(_record_annotation(change.after))
            return await cluster.apply(
                resource, namespace, name, body, manager=FIELD_MANAGER, force=self.force, dry_run=dry_run
            )
        except ApiError as error:
            raise explained(error, self.title) from error


def _record_annotation(item: Object) -> Object:
    return {key: value for key, value in item["metadata"]["annotations"].items() if key == "interceptor/profile"}


async def look(cluster: Cluster, options: ProfileSetOptions) -> ProfilePlan:
    """Decide. Raises the first thing that stands in the way."""
    if options.wanted.empty:
        raise UsageError("nothing to set", hint="--timeout, --retries, --retry-on or --budget")
    found = await read(cluster, cluster.namespace, options.service, domain=options.domain)
    for resource, why in found.hidden.items():
        if found.profile is not None and resource is not SERVICE_PROFILES:
            continue  # disabled by it anyway
        raise InterceptorError(f"{resource.plural} can't be read: {why}", hint=_role_hint(found))
    change = edit(found, options.wanted)
    if change.before is not None:
        _refuse_held(found, change)
        if not change.changes:
            raise InterceptorError(f"{change.title} says so already", hint=f"interceptor profile show {found.title}")
    taken = taken_from(change, force=options.force_conflicts)
    guarded = options.guard
    namespace = cluster.namespace
    needed = rights.needed_for_profile(change.resource, change.name, guard=guarded, made=change.before is None)
    lacking = [right for right in await allowed.missing(cluster, namespace, needed) if right.required]
    if lacking:
        only_guard = all(right.guard for right in lacking)
        instead = "or change it with --no-guard: then only this program takes it back" if only_guard else ""
        raise allowed.MissingRights(namespace, lacking, to=f"change the routes of {found.title}", instead=instead)
    names = SessionNames(new_session(f"profile-{found.name}"), namespace, change.name, policy_kind(change.resource))
    notes = [*change.notes, *taken]
    if found.elsewhere:
        notes.append(f"callers in {', '.join(found.elsewhere)} have a ServiceProfile of their own, and keep it")
    if not guarded:
        notes.append("without a guard: after a kill -9 of this program, `interceptor profile undo` has to take it back")
    plan = ProfilePlan(
        found, change, names, _record(change, names.session, options.lasts), bool(taken) or options.force_conflicts, guarded,
        options.guard_image or PUBLIC_IMAGE, tuple(notes),
    )  # fmt: skip
    stored = await plan.write(cluster, dry_run=True)
    if change.before is None:  # with what the cluster's schema and webhooks add to it
        plan = replace(plan, record=replace(plan.record, digest=digest(stored)))
    return plan


def _record(change: Edit, session: str, lasts: float) -> PolicyRecord:
    now = datetime.now(UTC)
    before = change.before
    return PolicyRecord(
        session=session,
        holder=holder(),
        since=now.strftime(STAMP),
        until=(now + timedelta(seconds=lasts)).strftime(STAMP) if lasts else "",
        created=before is None,
        changes=change.changes,
        digest=digest(change.after if before is None else before),
        managers=tuple(before["metadata"].get("managedFields") or ()) if before is not None else (),
    )


def _refuse_held(found: InForce, change: Edit) -> None:
    assert change.before is not None
    record = policy_record_of(change.before)
    if record is not None:
        raise InterceptorError(
            f"{change.title} is changed already, by {record.holder} since {record.since}",
            hint=f"end it there, or take it back: interceptor profile undo {found.title} -n {found.namespace}",
        )


def taken_from(change: Edit, *, force: bool) -> list[str]:
    """Whose fields are taken for the time, in words. Raises InterceptorError where their owner would write again."""
    if change.before is None:
        return []
    returning = [
        note.partition(" this workload")[0]
        for note in keepers.owners(change.before)
        if not note.startswith("Helm release")
    ]
    if returning and not force:
        raise InterceptorError(
            f"{returning[0]} {change.title}, and takes back what differs",
            hint="change it where it is kept, or set it all the same with --force-conflicts",
        )
    theirs = owners(change)
    strangers = [owner for owner in theirs if owner.returns]
    if strangers and not force:
        fields = ", ".join(dict.fromkeys(owner.field for owner in strangers))
        raise InterceptorError(
            f"{fields} of {change.title} belongs to field manager {strangers[0].manager}",
            hint="--force-conflicts takes it for the time and gives it back",
        )
    return [f"{owner.field} belongs to {owner.manager}: taken for the time, and given back" for owner in theirs]


def _role_hint(found: InForce) -> str:
    return f"ask your cluster's admin for `interceptor rbac -n {found.namespace} | kubectl apply -f -`"


def details_of(plan: ProfilePlan) -> dict[str, object]:
    """The fields of the JSON line."""
    change = plan.edit
    return {
        "namespace": plan.names.namespace,
        "service": plan.found.name,
        "object": change.title,
        "route": change.route,
        "path": change.path,
        "session": plan.names.session,
        "made": change.before is None,
        "changes": [
            {"field": one.place, "before": _or_none(one.before), "after": _or_none(one.after)} for one in change.changes
        ],
        "notes": list(plan.notes),
        "until": plan.record.until or None,
        "guard": plan.guarded,
        "diff": difference(change),
    }


def _or_none(value: Any) -> Any:
    return None if value is ABSENT else value


def describe(plan: ProfilePlan) -> str:
    """One line of words."""
    verb = "is made" if plan.edit.before is None else "changes"
    return f"{plan.title} {verb} for {plan.edit.path or plan.edit.route} of {plan.found.title}"
