"""What has to be taken back, by name; `intercept` registers each step before it makes the change it undoes.

A step is safe to repeat and to run when its change never happened. All steps run, in reverse, whatever fails: the
failures are told together at the end and never hide each other. Only being cancelled cuts it short.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
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
        """Take everything back, the latest first; returns what could not be. A bug of ours is raised after the last."""
        failures: list[Failure] = []
        bugs: list[Exception] = []
        while self._steps:
            name, step = self._steps.pop()
            try:
                await step()
            except Exception as error:
                told = _for_people(error)
                if told is None:
                    bugs.append(error)
                else:
                    failures.append(Failure(name, told))
        if bugs:
            raise ExceptionGroup("undo", [*bugs, *(failure.error for failure in failures)])
        return failures


def not_taken_back(failures: Sequence[Failure], hint: str) -> InterceptorError:
    """All failures in one."""
    what = "; ".join(f"{failure.name}: {failure.error.message}" for failure in failures)
    return InterceptorError(f"not everything could be taken back: {what}", hint=hint)


def _for_people(error: Exception) -> InterceptorError | None:
    """What a person can mend, also out of a task group; None for a bug."""
    if isinstance(error, InterceptorError):
        return error
    if isinstance(error, ExceptionGroup):
        inner = [_for_people(each) for each in error.exceptions]
        return inner[0] if all(inner) else None
    return None
