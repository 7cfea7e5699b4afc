"""Reports in words, for people: plain lines, or marks, colours and a spinner on a terminal; `cli.report` chooses."""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, TextIO

from interceptor.cli.lines import Lines
from interceptor.cli.look import Look
from interceptor.errors import InterceptorError
from interceptor.session.events import Event

if TYPE_CHECKING:
    from rich.status import Status

# Names are at most nine letters ("connected"); texts stand below each other.
_NAME_WIDTH = 10
_MARKS = {"planned": "·", "note": "·", "waiting": "…", "lost": "!", "ending": "!", "failed": "✗"}
_ASCII_MARKS = {"·": "-", "…": "~", "!": "!", "✗": "x", "✓": "+"}
_STYLES = {"waiting": "yellow", "lost": "bold yellow", "failed": "bold red", "planned": "dim", "note": "dim"}


class PlainWords:
    """Words for a file, a pipe or a dumb terminal: one line for each event, nothing that moves."""

    def __init__(self, words: TextIO, data: TextIO) -> None:
        self._words = Lines(words)
        self._data = Lines(data)

    def tell(self, event: Event) -> None:
        """Print one line, and what the event carries for stdout."""
        took = "" if event.seconds is None else f" ({event.seconds:.1f} s)"
        self._words.line(f"{event.name:<{_NAME_WIDTH}}{event.text}{took}")
        for line in plan_lines(event):
            self._data.line(line)

    def busy(self, text: str) -> AbstractContextManager[None]:
        """Say nothing: what lasts is told when it is done."""
        return nullcontext()

    def shared(self) -> AbstractContextManager[None]:
        """Go on as before: nothing moves anyway."""
        return nullcontext()

    def fail(self, error: InterceptorError) -> None:
        """Print the error."""
        self._words.line(f"error: {error}")

    def close(self) -> None:
        """Do nothing: no line is ever left open."""


class ScreenWords:
    """Words for a terminal: marks, colours, and a spinner for what lasts."""

    def __init__(self, look: Look, words: TextIO, data: TextIO) -> None:
        from rich.console import Console

        self._look = look
        self._data = Lines(data)
        self._console: Console = Console(
            file=words,
            force_terminal=True,
            no_color=not look.colour,
            color_system="standard" if look.colour else None,
            highlight=False,
            markup=False,
            emoji=False,
            soft_wrap=True,
        )
        self._busy: list[str] = []
        self._shared = False
        self._status: Status | None = None

    def tell(self, event: Event) -> None:
        """Print one line above the spinner, if one runs."""
        mark = _MARKS.get(event.name, "✓")
        style = _STYLES.get(event.name, "green")
        took = "" if event.seconds is None else f"   {event.seconds:.1f} s"
        self._line((f"{self._mark(mark)} {event.name:<{_NAME_WIDTH}}", style), (event.text, ""), (took, "dim"))
        for line in plan_lines(event):
            self._data.line(line)

    @contextmanager
    def busy(self, text: str) -> Iterator[None]:
        """Spin until the context ends; of several at once the latest is shown."""
        if not self._look.terminal:
            yield
            return
        self._busy.append(text)
        self._show_busy()
        try:
            yield
        finally:
            if text in self._busy:  # not after `close`
                self._busy.remove(text)
            self._show_busy()

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Hide the spinner: each of its turns would wipe out what COMMAND writes on the same line."""
        self._shared = True
        self._show_busy()
        try:
            yield
        finally:
            self._shared = False
            self._show_busy()

    def fail(self, error: InterceptorError) -> None:
        """Print the error."""
        self._line(("error:", "bold red"), (f" {error}", ""))

    def close(self) -> None:
        """Stop the spinner, so that the cursor is there again."""
        self._busy.clear()
        self._show_busy()

    def _mark(self, mark: str) -> str:
        return mark if self._look.marks else _ASCII_MARKS[mark]

    def _line(self, *parts: tuple[str, str]) -> None:
        from rich.text import Text

        try:
            self._console.print(Text.assemble(*parts))
        except OSError:
            # The terminal is gone (closed window): the session goes on to its end, see Lines.
            self._console.quiet = True

    def _show_busy(self) -> None:
        if not self._busy or self._shared:
            if self._status is not None:
                self._status.stop()
                self._status = None
        elif self._status is None:
            spinner = "dots" if self._look.marks else "line"
            self._status = self._console.status(self._busy[-1], spinner=spinner)
            self._status.start()
        else:
            self._status.update(self._busy[-1])


def plan_lines(event: Event) -> Iterator[str]:
    """Print a dry run's plan for a person: `details["plan"]` is a list of titles and what stands below them."""
    plan = event.details.get("plan")
    if not isinstance(plan, dict):
        return
    for title, entries in plan.items():
        yield f"# {title}"
        if not entries:
            yield "none"
        elif all(isinstance(entry, str) for entry in entries):
            yield from entries
        else:
            yield from json.dumps(entries, indent=2, ensure_ascii=False, default=str).splitlines()
