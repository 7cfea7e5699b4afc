"""Everything is taken back in reverse order, and no failure hides another or keeps a step from running."""

from __future__ import annotations

import asyncio

import pytest

from interceptor.errors import InterceptorError
from interceptor.session.undo import Undo


class Steps:
    """Steps that note when they ran."""

    def __init__(self) -> None:
        self.undo = Undo()
        self.ran: list[str] = []

    def add(self, name: str, error: Exception | None = None) -> None:
        async def step() -> None:
            self.ran.append(name)
            if error is not None:
                raise error

        self.undo.add(name, step)


async def test_latest_goes_first() -> None:
    steps = Steps()
    for name in ("object", "lease", "swap"):
        steps.add(name)
    assert await steps.undo.run() == []
    assert steps.ran == ["swap", "lease", "object"]


async def test_failures_are_collected() -> None:
    steps = Steps()
    one, two = InterceptorError("no right"), InterceptorError("out of reach", hint="wait")
    steps.add("object", one)
    steps.add("lease")
    steps.add("swap", two)
    failures = await steps.undo.run()
    assert steps.ran == ["swap", "lease", "object"]
    assert [(failure.name, failure.error) for failure in failures] == [("swap", two), ("object", one)]


async def test_nothing_runs_twice() -> None:
    steps = Steps()
    assert not steps.undo
    steps.add("swap")
    before = bool(steps.undo)
    await steps.undo.run()
    assert (before, bool(steps.undo)) == (True, False)
    assert await steps.undo.run() == []
    assert steps.ran == ["swap"]


async def test_bug_is_not_hidden() -> None:
    """What is no message for a person is raised as it is, and the other steps have run by then."""
    steps = Steps()
    refused = InterceptorError("no right")
    steps.add("object")
    steps.add("lease", refused)
    steps.add("swap", KeyError("spec"))
    with pytest.raises(ExceptionGroup) as caught:
        await steps.undo.run()
    assert [type(error) for error in caught.value.exceptions] == [KeyError, InterceptorError]
    assert steps.ran == ["swap", "lease", "object"]


async def test_task_groups_failure_is_told() -> None:
    steps = Steps()
    refused = InterceptorError("no right")
    steps.add("object")
    steps.add("swap", ExceptionGroup("tasks", [ExceptionGroup("inner", [refused])]))
    assert [failure.error for failure in await steps.undo.run()] == [refused]
    assert steps.ran == ["swap", "object"]


async def test_cancelled_undo_can_go_on() -> None:
    steps = Steps()
    steps.add("object")
    steps.undo.add("swap", asyncio.Event().wait)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(steps.undo.run())
        await asyncio.sleep(0)
        task.cancel()
    assert task.cancelled()
    assert await steps.undo.run() == []
    assert steps.ran == ["object"]
