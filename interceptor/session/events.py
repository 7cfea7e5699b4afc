"""What a session tells while it runs; `session` speaks, `cli.report` prints it as words or JSON lines."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

EventName = Literal[
    "planned",
    "swapped",
    "connected",
    "ready",
    "waiting",
    "measured",
    "lost",
    "ending",
    "restored",
    "failed",
    "note",
]
"""Stable names: scripts read them in `-o json`. `note` is anything a person may want to know."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. `seconds` is what the step took; `details` become fields of the JSON line."""

    name: EventName
    text: str
    seconds: float | None = None
    details: Mapping[str, object] = field(default_factory=dict)


class Teller(Protocol):
    """The one who passes events on to the person or program that typed the command."""

    def tell(self, event: Event) -> None:
        """Pass on one event at once; never blocks for long, never raises."""

    def busy(self, text: str) -> AbstractContextManager[None]:
        """Show that `text` is under way until the context ends (a spinner on a terminal, else nothing)."""

    def shared(self) -> AbstractContextManager[None]:
        """COMMAND has the terminal too until the context ends: say what happens, but let nothing move."""
