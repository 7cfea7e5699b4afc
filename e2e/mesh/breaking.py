"""One way to break a mesh, and the check that has to say so; the tests of this folder are lists of these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from e2e.mesh.states import Mesh, wrong

Break = Callable[[Mesh], Awaitable[None]]


@dataclass(frozen=True)
class State:
    """`found` are the sentences of the checks meant, with a part of what each says."""

    name: str
    breaking: Break
    found: dict[str, str]
    warning: bool | None = False  # None: of both kinds
    target: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


def parameters(states: list[State]) -> pytest.MarkDecorator:
    """One test for each state."""
    return pytest.mark.parametrize("state", states, ids=[state.name for state in states])


async def expect(mesh: Mesh, state: State) -> None:
    """The checks that are meant find it, and no other says anything."""
    await state.breaking(mesh)
    rows = await mesh.check(state.target, **state.options)
    told = wrong(rows)
    assert sorted(told) == sorted(state.found)
    for sentence, words in state.found.items():
        assert words in told[sentence]
    if state.warning is not None:
        assert {row.result for row in rows} - {"success"} == {"warning" if state.warning else "error"}
