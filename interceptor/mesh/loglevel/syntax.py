"""What people type as a level, checked before any proxy is asked: `debug`, `warn,linkerd=debug`, `info,http:debug`. Pure.

One spelling for all meshes: a level for everything, and levels by target (Linkerd: a module of the proxy) or logger (Envoy).
What a target may be called only the proxy knows; how one is written is known here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches

from interceptor.errors import UsageError

LEVELS = ("off", "error", "warn", "info", "debug", "trace")
RESET = "reset"
LONGEST = 4096  # characters; a proxy's own has some fifty
_ALIASES = {"warning": "warn", "err": "error", "critical": "critical"}  # the last is Envoy's own, above error
# A path of modules as Rust writes it, a span in brackets (tracing's EnvFilter), or a path and a span.
_TARGET = re.compile(r"(?:[A-Za-z_][\w.-]*(?:::[A-Za-z_]\w*)*)?(?:\[[^\[\]]*\])?")
_HINT = f"type one of {', '.join(LEVELS)}, or TARGET=LEVEL, as in warn,linkerd=debug or info,http=debug"


@dataclass(frozen=True)
class Directive:
    """A level for a target; "" is everything that no other directive names."""

    target: str
    level: str

    def __str__(self) -> str:
        return f"{self.target}={self.level}" if self.target else self.level


@dataclass(frozen=True)
class Wanted:
    """A whole LEVEL. `reset` is how the proxy was started; then there are no directives."""

    directives: tuple[Directive, ...] = ()
    reset: bool = False

    def __str__(self) -> str:
        return RESET if self.reset else ",".join(map(str, self.directives))


def parse(text: str) -> Wanted:
    """Read what was typed. Raises UsageError."""
    if text.strip().lower() == RESET:
        return Wanted(reset=True)
    if len(text) > LONGEST or not text.isascii() or not text.isprintable():
        raise UsageError("the level has characters that no proxy takes, or too many", hint=_HINT)
    found: dict[str, Directive] = {}
    for part in split(text):
        directive = _directive(part.strip())
        if directive.target in found:
            what = f"the target {directive.target}" if directive.target else "everything"
            raise UsageError(f"{text!r} names two levels for {what}", hint=_HINT)
        found[directive.target] = directive
    return Wanted(tuple(found.values()))


def split(text: str) -> Iterator[str]:
    """The parts between commas, but for commas in brackets: a span may have several fields."""
    depth = start = 0
    for index, character in enumerate(text):
        depth += (character in "[{") - (character in "]}")
        if character == "," and depth <= 0:
            yield text[start:index]
            start = index + 1
    yield text[start:]


def canonical(level: str) -> str:
    """A level by its one name; "" for a word that is none."""
    word = level.strip().lower()
    word = _ALIASES.get(word, word)
    return word if word in (*LEVELS, "critical") else ""


def _directive(part: str) -> Directive:
    target, equals, word = part.rpartition("=")
    if not equals and part.count(":") == 1:  # istioctl's spelling
        target, equals, word = part.partition(":")
    target = target.strip()
    level = canonical(word)
    if not level:
        guess = get_close_matches(word.strip().lower(), LEVELS, n=1)
        said = f"; did you mean {guess[0]}?" if guess else ""
        raise UsageError(f"{word.strip() or part!r} is no log level{said}", hint=_HINT)
    if equals and (not target or not _TARGET.fullmatch(target)):
        raise UsageError(f"{target!r} can't be the name of a target", hint=_HINT)
    return Directive(target, level)
