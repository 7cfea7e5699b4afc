"""What the terminal can show (colours, a spinner, more than ASCII); `cli.report` asks before it prints."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

MARKS = "✓…✗·"


@dataclass(frozen=True, slots=True)
class Look:
    """How words may look on one stream."""

    terminal: bool
    colour: bool
    marks: bool

    @classmethod
    def of(cls, stream: TextIO, environ: Mapping[str, str] = os.environ) -> "Look":
        """Look at the stream and at the variables people set: NO_COLOR, CLICOLOR_FORCE, CLICOLOR, TERM."""
        terminal = stream.isatty() and environ.get("TERM", "dumb") not in ("", "dumb", "unknown")
        # no-color.org and bixense.com/clicolors: set and not empty, respectively set and not 0.
        if environ.get("NO_COLOR"):
            colour = False
        elif environ.get("CLICOLOR_FORCE", "0") not in ("", "0"):
            colour = True
        else:
            colour = terminal and environ.get("CLICOLOR") != "0"
        return cls(terminal, colour, terminal and _can_encode(stream))


def _can_encode(stream: TextIO) -> bool:
    try:
        MARKS.encode(stream.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
