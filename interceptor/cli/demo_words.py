"""How `interceptor demo` speaks: chapters, sentences, what one would type, who answered. Used by `demo`."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from interceptor.cli.look import Look

Object = dict[str, Any]

HERE = "your machine"
_TOLD = ("planned", "swapped", "connected", "ready")


class Words:
    """Numbered chapters for a newcomer; colours only on a terminal."""

    def __init__(self) -> None:
        self._colour = Look.of(sys.stdout).colour
        self._chapter = 0
        self._since = time.monotonic()

    def chapter(self, title: str) -> None:
        """Begin a chapter."""
        self._chapter += 1
        self._since = time.monotonic()
        self._line(f"\n{self._chapter}. {title}", bold=True)

    def took(self, text: str) -> None:
        """Say what was done, and how long it took."""
        self._line(f"   {text}  ({time.monotonic() - self._since:.1f} s)")

    def say(self, text: str) -> None:
        """Say a sentence."""
        self._line(f"   {text}")

    def shell(self, text: str) -> None:
        """Show what one would type."""
        self._line(f"     $ {text}", fg="cyan")

    def event(self, event: Object) -> None:
        """Show what the client tells."""
        if event["event"] in _TOLD:
            took = f"  ({event['seconds']:.1f} s)" if event.get("seconds") is not None else ""
            self._line(f"     {event['event']:<10}{event['text']}{took}", dim=True)

    def answer(self, answer: Object) -> None:
        """Show an answer of the shop: what it costs and who served."""
        self._line(f"     {answer['amount']} x {answer['item']}: {answer['cents'] / 100:.2f}", bold=True)
        for hop in answer["path"]:
            here = hop["where"] == HERE
            place = f"on {HERE.upper()}" if here else f"in the cluster, {hop['where']}"
            self._line(f"       {hop['service']:<8}{hop['version']:<7}{place}", fg="green" if here else None)

    def end(self, text: str) -> None:
        """Say the last sentence."""
        self._line(f"\n{text}", bold=True)

    def _line(self, text: str, **style: Any) -> None:
        click.echo(click.style(text, **style) if self._colour else text)
        sys.stdout.flush()
