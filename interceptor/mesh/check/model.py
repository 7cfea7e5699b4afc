"""What a check is: a sentence, a hint, how much it weighs, and a function that judges; `runner` runs lists of them.

Every output (table, short, JSON) is made from the same `Row`, so none can say more or less than another.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from interceptor.errors import InterceptorError

if TYPE_CHECKING:
    from interceptor.mesh.check.facts import Facts

HINTS = "https://linkerd.io/2/checks/#"

Part = Literal["kubernetes", "mesh", "own"]
Result = Literal["success", "warning", "error", "unknown"]


@dataclass(frozen=True)
class Passed:
    """As it should be; `detail` is what else was found out."""

    detail: str = ""


@dataclass(frozen=True)
class Failed:
    """Not as it should be. `why` it matters and the command to type `next` are for checks of our own."""

    reason: str
    why: str = ""
    next: str = ""


@dataclass(frozen=True)
class Unknown:
    """It could not be found out: a right is missing, or that part of the API gave no answer."""

    reason: str


@dataclass(frozen=True)
class Skipped:
    """It does not apply here, and is not shown."""


class Broken(InterceptorError):
    """What several checks need is there but can't be used: whoever asks for it fails with this reason."""


Verdict = Passed | Failed | Unknown | Skipped
PASSED = Passed()
SKIPPED = Skipped()

Judge = Callable[["Facts"], Awaitable[Verdict]]


@dataclass(frozen=True)
class Check:
    """One sentence that holds or doesn't.

    `anchor` is Linkerd's, for its page of hints. `fatal`: when it fails, the rest of its part says nothing. `warning`:
    its failure does not count. `retry`: may become true by waiting. `once`: costs too much to be judged again after one.
    """

    sentence: str
    judge: Judge
    anchor: str = ""
    fatal: bool = False
    warning: bool = False
    retry: bool = False
    once: bool = False


@dataclass(frozen=True)
class Category:
    """Checks under one heading. A fatal failure ends its `part`; one of `kubernetes` ends everything."""

    name: str
    checks: tuple[Check, ...]
    part: Part = "mesh"


@dataclass(frozen=True)
class Row:
    """What came of one check."""

    category: str
    sentence: str
    result: Result
    error: str = ""
    hint: str = ""
    why: str = ""
    next: str = ""
    detail: str = ""


def row(category: Category, check: Check, verdict: Verdict) -> Row | None:
    """Put a verdict in the words of every output; None for what is not shown."""
    hint = HINTS + check.anchor if check.anchor else ""
    match verdict:
        case Passed(detail):
            return Row(category.name, check.sentence, "success", detail=detail)
        case Failed(reason, why, then):
            result: Result = "warning" if check.warning else "error"
            return Row(category.name, check.sentence, result, reason, hint, why, then)
        case Unknown(reason):
            return Row(category.name, check.sentence, "unknown", f"unknown: {reason}")
        case Skipped():
            return None


def lines(title: str, items: list[str]) -> str:
    """Linkerd's way to list what offends: one a line, behind a tab."""
    return "\n\t".join([title, *items])
