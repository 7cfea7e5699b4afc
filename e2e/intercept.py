"""`interceptor` as a child process, its JSON events as values; `conftest` makes one per call and ends it by its id."""

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.process import Line, Process


def installed() -> list[str]:
    """The installed script, or the module when the repository is not installed."""
    if given := os.environ.get("E2E_INTERCEPTOR"):
        return given.split()
    script = Path(sys.executable).with_name("interceptor")
    return [str(script)] if script.exists() else [sys.executable, "-m", "interceptor"]


@dataclass(frozen=True, slots=True)
class Event:
    """One line of `-o json`."""

    name: str
    at: float
    fields: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.fields[key]


def parse(line: Line) -> Event | None:
    """The event in a line; None for what COMMAND or anybody else wrote."""
    if not line.text.startswith("{"):
        return None
    try:
        fields = json.loads(line.text)
    except ValueError:
        return None
    return Event(fields["event"], line.at, fields) if isinstance(fields.get("event"), str) else None


class Intercept(Process):
    """One run of the command."""

    def __init__(self, arguments: list[str], env: Mapping[str, str], *, program: Sequence[str] = ()) -> None:
        super().__init__([*(program or installed()), *arguments], env)

    @property
    def events(self) -> list[Event]:
        return [event for line in list(self.lines) if (event := parse(line))]

    def wait_for(self, name: str, timeout: float = 120, *, after: float = 0.0) -> Event:
        """The first such event (later than `after`); fails at once if the command ends or fails instead."""

        def wanted(line: Line) -> bool:
            event = parse(line)
            if event and event.name == "failed" and name != "failed":
                raise AssertionError(f"failed instead of {name}\n{self.transcript()}")
            return event is not None and event.name == name and event.at > after

        found = parse(self.wait_line(wanted, timeout, f"event {name!r}"))
        assert found
        return found

    def stop(self, number: signal.Signals = signal.SIGINT, timeout: float = 120) -> int:
        """Ask it to end as a person would; its exit status."""
        self.send(number)
        return self.wait(timeout)
