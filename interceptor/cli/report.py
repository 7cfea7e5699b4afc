"""The Tellers: what a session tells becomes words on stderr or JSON lines on stdout. Commands open one.

COMMAND owns stdout, so our words go to stderr, as with ssh and sudo. With `-o json` our lines are what a script
reads: then stdout is ours, and whatever COMMAND prints there goes to stderr.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from interceptor.cli.jsonlines import JsonLines, own_stdout
from interceptor.cli.look import Look
from interceptor.cli.words import PlainWords, ScreenWords
from interceptor.errors import InterceptorError
from interceptor.session.events import Teller


class Reporter(Teller, Protocol):
    """A Teller that can also say how the command as a whole went wrong."""

    def fail(self, error: InterceptorError) -> None:
        """Tell the error that ends the command."""

    def close(self) -> None:
        """Leave the terminal as it was."""


@contextmanager
def open_teller(output: str) -> Iterator[Reporter]:
    """Choose the Teller for `-o OUTPUT` and this terminal; leaves the terminal as it was."""
    if output == "json":
        with own_stdout() as stdout:
            yield JsonLines(stdout)
        return
    look = Look.of(sys.stderr)
    plain = not look.terminal and not look.colour
    teller: Reporter = PlainWords(sys.stderr, sys.stdout) if plain else ScreenWords(look, sys.stderr, sys.stdout)
    try:
        yield teller
    finally:
        teller.close()
