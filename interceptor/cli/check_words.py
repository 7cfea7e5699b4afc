"""How checks are printed: Linkerd's table, its short form, its JSON; `cli.check` opens one and hands it the rows.

The bytes are those that scripts around `linkerd check` read. `unknown` is ours, and so are `why` and `next`.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol

import click

from interceptor.cli.lines import Lines
from interceptor.cli.look import Look
from interceptor.cli.report import Reporter
from interceptor.mesh.check.model import Row

_MARKS = {"success": "√", "warning": "‼", "error": "×", "unknown": "?"}  # noqa: RUF001  (Linkerd's)
_PLAIN = {"success": "ok", "warning": "!!", "error": "xx", "unknown": "??"}  # where the terminal can't show the others
_COLOURS = {"success": "green", "warning": "yellow", "error": "red", "unknown": "cyan"}


class Printer(Protocol):
    """Who prints rows."""

    def tell(self, row: Row) -> None:
        """Take one row, in order."""

    def waiting(self, text: str) -> None:
        """Something isn't well yet and is waited for."""

    def end(self, good: bool) -> None:
        """Say how it went as a whole."""


@contextmanager
def open_printer(output: str, reporter: Reporter) -> Iterator[Printer]:
    """The printer for `-o OUTPUT`; what it says while waiting ends with it."""
    with ExitStack() as busy:
        if output == "json":
            yield JsonPrinter(busy, reporter)
        else:
            yield TablePrinter(busy, reporter, short=output == "short")


class _Waiting:
    def __init__(self, busy: ExitStack, reporter: Reporter) -> None:
        self._busy = busy
        self._reporter = reporter

    def waiting(self, text: str) -> None:
        """Show on a terminal what is waited for."""
        self._busy.close()
        self._busy.enter_context(self._reporter.busy(text.partition("\n")[0]))


class TablePrinter(_Waiting):
    """Rows under their category as they come; the short form prints only what did not succeed."""

    def __init__(self, busy: ExitStack, reporter: Reporter, *, short: bool) -> None:
        super().__init__(busy, reporter)
        self._short = short
        self._out = Lines(sys.stdout)
        look = Look.of(sys.stdout)
        self._colour = look.colour
        self._marks = _MARKS if _can_print(sys.stdout.encoding) else _PLAIN
        self._category = ""
        self._unknown = 0

    def tell(self, row: Row) -> None:
        """Print one row."""
        self._busy.close()
        self._unknown += row.result == "unknown"
        if self._short and row.result == "success":
            return
        if row.category != self._category:
            if self._category:
                self._out.line("")
            self._out.line(row.category)
            self._out.line("-" * len(row.category))
            self._category = row.category
        detail = f" ({row.detail})" if row.detail else ""
        self._out.line(f"{self._mark(row.result)} {row.sentence}{detail}")
        if row.error:
            self._out.line(f"    {row.error}")
        for word, text in (("why", row.why), ("next", row.next)):
            if text:
                self._out.line(f"    {word}: {text}")
        if row.hint and row.result in ("warning", "error"):
            self._out.line(f"    see {row.hint} for hints")

    def end(self, good: bool) -> None:
        """Print the verdict."""
        self._busy.close()
        if self._category:
            self._out.line("")
        rest = f", {self._unknown} unknown" if self._unknown else ""
        self._out.line(f"Status check results are {self._mark('success' if good else 'error')}{rest}")

    def _mark(self, result: str) -> str:
        mark = self._marks[result]
        return click.style(mark, fg=_COLOURS[result], bold=True) if self._colour else mark


class JsonPrinter(_Waiting):
    """One document at the end."""

    def __init__(self, busy: ExitStack, reporter: Reporter) -> None:
        super().__init__(busy, reporter)
        self._categories: dict[str, list[dict[str, str]]] = {}

    def tell(self, row: Row) -> None:
        """Keep one row."""
        fields = {"description": row.sentence}
        if row.result in ("warning", "error") and row.hint:
            fields["hint"] = row.hint
        more = {"error": row.error, "why": row.why, "next": row.next, "detail": row.detail}
        fields |= {name: text for name, text in more.items() if text}
        self._categories.setdefault(row.category, []).append({**fields, "result": row.result})

    def end(self, good: bool) -> None:
        """Print the document."""
        self._busy.close()
        categories = [{"categoryName": name, "checks": checks} for name, checks in self._categories.items()]
        document = {"success": good, "categories": categories}
        Lines(sys.stdout).line(json.dumps(document, indent=2, ensure_ascii=False))


def _can_print(encoding: str | None) -> bool:
    try:
        "".join(_MARKS.values()).encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
