"""Who ends a session when we are gone, decided by what this user may do; `plan` asks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from interceptor.session.options import InterceptOptions
from interceptor.workload import allowed, rights

Object = dict[str, Any]


@dataclass(frozen=True)
class Guarding:
    """Who ends the session when we are gone: the agents, by restoring; or else with `app` in their own place; or nobody."""

    guarded: bool
    app: Object | None = None
    notes: tuple[str, ...] = ()


def choose_guard(
    title: str, namespace: str, options: InterceptOptions, lacking: Sequence[rights.Right], app: Object | None
) -> Guarding:
    """Decide by what this user may do. Raises MissingRights, with what would work without."""
    required = [right for right in lacking if right.required]
    if not options.guard:
        _refuse(title, namespace, options, required)
        return Guarding(False)
    missing = allowed.words(right for right in required if right.guard)
    _refuse(title, namespace, options, [right for right in required if not right.guard])
    if not missing:
        return Guarding(True)
    if app is None:
        instead = "or add --no-guard: then only this program, or `interceptor restore`, takes the swap back"
        _refuse(title, namespace, options, required, instead)
        return Guarding(True)  # a dry run
    note = (
        f"you may not {missing}, so the agents can't restore {title} when this program is gone: they would start the "
        f"app's own command in place, and the template stays swapped until `interceptor restore {title} -n {namespace}`"
    )
    return Guarding(False, app, (note,))


def _refuse(
    title: str, namespace: str, options: InterceptOptions, required: Sequence[rights.Right], instead: str = ""
) -> None:
    if required and not options.dry_run:
        raise allowed.MissingRights(namespace, required, rbac=f"--for {title}", instead=instead)
