"""One intercept: look, then act. `cli` calls `intercept`; `acting` goes on where the first change is made."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from interceptor.session.access import open_cluster
from interceptor.session.events import Event, Teller
from interceptor.session.options import InterceptOptions
from interceptor.session.plan import describe, details_of, dry_run, look
from interceptor.workload.rollout import wait_rolled_out

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Any

    from interceptor.kube import Cluster
    from interceptor.session.plan import Plan
    from interceptor.session.takeover import Confirm

EARLIER_ROLLOUT = 300.0  # seconds for one that is under way when we come
_SWITCH = 0.0005  # seconds


async def intercept(options: InterceptOptions, teller: Teller, confirm: Confirm | None = None) -> int:
    """Run one intercept and return the exit status: COMMAND's, or 0 for a dry run.

    Without COMMAND it serves until cancelled. `confirm` asks the person, where there is one. Raises InterceptorError for
    everything a person can mend.
    """
    if options.home.mounts or options.home.local:
        from interceptor.session.places import check_places  # noqa: PLC0415  a start counts, and few name places

        await check_places(options.home)
    if options.home.mode == "namespace":
        from interceptor.session.home import check_home  # noqa: PLC0415  as above

        await check_home(options.home, options.command)
    client = open_cluster(options.access)
    began = time.monotonic()
    async with client as cluster:
        loading = asyncio.get_running_loop().run_in_executor(None, _load) if not options.dry_run else None
        if options.take_over and not options.dry_run:
            # With all that `restore` knows, which most never need.
            from interceptor.session.takeover import take_over  # noqa: PLC0415

            await take_over(cluster, options.target, options.take_over, teller, confirm)
        with teller.busy(f"looking at {options.target}"):
            plan = await look(cluster, options)
        if plan.rolling and not options.dry_run:
            teller.tell(Event("note", f"a rollout of {plan.title} is under way; waiting for its end"))
            with teller.busy("waiting for the rollout that is under way"):
                await wait_rolled_out(cluster, plan.names.ref, within=EARLIER_ROLLOUT)
                plan = await look(cluster, options)  # its pods are others now, and one can be asked for its program
        details = details_of(plan)
        if options.dry_run:
            details["plan"] = dry_run(plan)
        teller.tell(Event("planned", describe(plan, options.to_host), time.monotonic() - began, details))
        for note in plan.notes:
            teller.tell(Event("note", note))
        if options.dry_run:
            return 0
        if plan.rolling:  # another one
            with teller.busy("waiting for the rollout that is under way"):
                await wait_rolled_out(cluster, plan.names.ref, within=EARLIER_ROLLOUT)
        assert loading is not None
        act, agent = await loading
        return await act(cluster, plan, options, teller, agent)


class _Loaded(NamedTuple):
    """See `acting.act` and `zipapp.build`."""

    act: Callable[[Cluster, Plan, InterceptOptions, Teller, bytes], Coroutine[Any, Any, int]]
    agent: bytes


def _load() -> _Loaded:
    """In a thread, while the cluster is asked: what comes after takes as much processor time as the way to here."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)  # an answer that is there must not wait for the import of a module
    try:
        from interceptor.session.acting import act  # noqa: PLC0415
        from interceptor.workload import zipapp  # noqa: PLC0415

        return _Loaded(act, zipapp.build())
    finally:
        sys.setswitchinterval(usual)
