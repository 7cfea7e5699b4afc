"""The undo of `log-level`: what each level was before it was changed, in memory and on disk, and the way back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster
from interceptor.mesh.loglevel import proxies, record
from interceptor.mesh.loglevel.model import Back, Sidecar
from interceptor.mesh.loglevel.proxies import Level
from interceptor.mesh.loglevel.record import Change, Record
from interceptor.session.log_guard import GIVE_UP, Guard
from interceptor.session.options import Access
from interceptor.session.undo import Undo
from interceptor.workload.kinds import WorkloadRef


class Keep:
    """The levels that one run has changed. `end` it, whatever happens."""

    def __init__(
        self, cluster: Cluster, ref: WorkloadRef, access: Access, told: Callable[[Change, Back], None]
    ) -> None:
        self._cluster, self._ref, self._access, self._told = cluster, ref, access, told
        self._changes: dict[tuple[str, str], Change] = {}
        self._undo = Undo()
        self._record: Record | None = None
        self._guard: Guard | None = None

    async def set(self, levels: Sequence[Level], *, guarded: bool) -> None:
        """Set what is planned for each, remembered first; they tell what came of it."""
        if self._record is None:
            proxies.with_earlier(levels, record.known(self._cluster.server))
            self._record = Record.begin(
                access=asdict(self._access),
                server=self._cluster.server,
                workload=self._ref.title,
                namespace=self._ref.namespace,
            )
            self._undo.add("forget the record", self._forget)
            if guarded:
                self._guard = Guard.start(self._record.path)
            self._undo.add(f"put back the log levels of {self._ref.title}", self._put_back)
        await proxies.change(levels, self._before, self._after)

    def for_good(self) -> None:
        """The levels shall stay."""
        self._changes.clear()

    def gone(self, sidecar: Sidecar) -> None:
        """This proxy is no more, and its level with it."""
        if self._changes.pop(sidecar.key, None) is not None and self._record is not None:
            self._record.back(sidecar)

    async def end(self) -> None:
        """Put back what was changed; raises the first of what could not be."""
        failures = await self._undo.run()
        if failures:
            raise failures[0].error

    async def _put_back(self) -> None:
        changes = list(self._changes.values())
        problems = await proxies.undo(self._cluster, changes, self._back)
        if problems:
            count = f"{len(problems)} of {len(changes)}" if len(changes) > 1 else "the"
            levels = "levels" if len(changes) > 1 else "level"
            again = f"interceptor log-level {self._ref.title} -n {self._ref.namespace}"
            trying = f"a process beside goes on trying for {GIVE_UP / 60:.0f} min, later: " if self._guard else ""
            raise InterceptorError(
                f"{count} {levels} could not be put back: {problems[0].message}", hint=f"{trying}{again}"
            )

    async def _forget(self) -> None:
        if self._record is not None:
            self._record.close(forget=not self._changes)
        if self._guard is not None and self._changes:
            self._guard.leave()
        elif self._guard is not None:
            await asyncio.to_thread(self._guard.dismiss)

    def _before(self, level: Level) -> None:
        assert self._record is not None
        self._changes[level.sidecar.key] = Change(level.sidecar, level.before)
        self._record.before(level.sidecar, level.before)

    def _after(self, level: Level) -> None:
        assert self._record is not None
        assert level.now is not None
        self._changes[level.sidecar.key].ours = level.now
        self._record.after(level.sidecar, level.now)

    def _back(self, change: Change, back: Back) -> None:
        assert self._record is not None
        self._changes.pop(change.sidecar.key, None)
        self._record.back(change.sidecar)
        self._told(change, back)
