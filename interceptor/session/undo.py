"""What has to be taken back, by name; `intercept` registers each step before it makes the change it undoes.

A step is safe to repeat and to run when its change never happened. All steps run, in reverse, whatever fails: the
failures are told together at the end and never hide each other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from interceptor.errors import InterceptorError

Step = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Failure:
    """One step that could not be taken back."""

    name: str
    error: InterceptorError


class Undo:
    """A stack of named steps."""

    def __init__(self) -> None:
        self._steps: list[tuple[str, Step]] = []

    def add(self, name: str, step: Step) -> None:
        """Register before the change happens."""
        self._steps.append((name, step))

    def __bool__(self) -> bool:
        return bool(self._steps)

    async def run(self) -> list[Failure]:
        """Take everything back, the latest first; returns what could not be."""
        failures = []
        while self._steps:
            name, step = self._steps.pop()
            try:
                await step()
            except InterceptorError as error:
                failures.append(Failure(name, error))
        return failures
