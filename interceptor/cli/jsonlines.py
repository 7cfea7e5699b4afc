"""Reports for scripts: JSON lines on a stdout that is theirs alone; `cli.report` chooses them for `-o json`."""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TextIO

from interceptor.cli.lines import Lines
from interceptor.errors import InterceptorError
from interceptor.session.events import Event


class JsonLines:
    """One JSON object a line: `event` first, then `text`, `seconds`, `time`, then what belongs to the event."""

    def __init__(self, data: TextIO) -> None:
        self._data = Lines(data)

    def tell(self, event: Event) -> None:
        """Print one object."""
        seconds = None if event.seconds is None else round(event.seconds, 3)
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        fields = {"event": event.name, "text": event.text, "seconds": seconds, "time": now}
        own = {name: value for name, value in event.details.items() if name not in fields}
        self._data.line(json.dumps(fields | own, default=str))

    def busy(self, text: str) -> AbstractContextManager[None]:
        """Say nothing: a script reads what is done."""
        return nullcontext()

    def shared(self) -> AbstractContextManager[None]:
        """Go on as before: COMMAND's stdout is not ours."""
        return nullcontext()

    def fail(self, error: InterceptorError) -> None:
        """Print the error as the event `failed`."""
        details = {"hint": error.hint, "exit_status": error.exit_status}
        self.tell(Event("failed", error.message, details=details))

    def close(self) -> None:
        """Do nothing: each line is complete."""


@contextmanager
def own_stdout() -> Iterator[TextIO]:
    """Keep stdout for us alone: whoever else writes to descriptor 1, COMMAND first of all, reaches stderr."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with os.fdopen(os.dup(kept), "w", encoding="utf-8") as stdout:
            yield stdout
    finally:
        os.dup2(kept, 1)
        os.close(kept)
