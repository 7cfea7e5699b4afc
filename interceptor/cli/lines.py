"""Writes whole lines to a stream that may go away; both kinds of reports (`cli.words`, `cli.jsonlines`) write by it."""

from typing import TextIO


class Lines:
    """Writes lines; once nobody reads any more, it drops them.

    A session must not end because the program that read its reports ended (`| head -1`): the workload still has
    to be restored, and its exit status still tells how it went.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream: TextIO | None = stream

    def line(self, text: str) -> None:
        """Write one line now."""
        self.write(text + "\n")

    def write(self, text: str) -> None:
        """Write text as it is, now."""
        if self.stream is None:
            return
        try:
            self.stream.write(text)
            self.stream.flush()
        except (OSError, ValueError):
            self.stream = None
