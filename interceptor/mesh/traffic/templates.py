"""Groups paths into templates, `/books/{id}`, so that routes stay few whatever callers ask for; `counts` names routes by it.

What looks like an identifier becomes `{id}` at once. A word becomes one when too many others stand at its place: then all
of them are the same route, and `merged` tells whoever counted them apart.
"""

from __future__ import annotations

import re
from collections.abc import Callable

ID = "{id}"
MOST_WORDS = 24  # different words at one place before they are taken for identifiers
MOST_DEPTH = 8
MOST_REMEMBERED = 4096
_IDENTIFIER = re.compile(
    r"[0-9]+(?:[.,:_-][0-9]+)*"  # a number, a date, a version
    r"|[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"  # a UUID
    r"|(?=[^0-9]*[0-9])[0-9a-fA-F]{8,}"  # a hash
    r"|(?=(?:[^0-9]*[0-9]){2})[A-Za-z0-9_=~-]{16,}"  # a token
    r"|[^@]+@[^@]+\.[^@]+"  # an address
    r"|.{48,}",
    re.DOTALL,
)


class _Place:
    """What was seen after a beginning of a path."""

    __slots__ = ("after",)

    def __init__(self) -> None:
        self.after: dict[str, _Place] = {}


class Templates:
    """Learns from every path it is asked for."""

    def __init__(self, merged: Callable[[], None]) -> None:
        self._root = _Place()
        self._known: dict[str, str] = {}
        self._merged = merged

    def name(self, path: str) -> str:
        """The template that a path belongs to now."""
        found = self._known.get(path)
        if found is None:
            if len(self._known) >= MOST_REMEMBERED:
                self._known.clear()
            found = self._find(path.partition("?")[0])
            self._known[path] = found
        return found

    def _find(self, path: str) -> str:
        if path[:1] != "/":
            return path[:48] or "-"
        place, names = self._root, []
        words = path.split("/")[1:]
        for depth, word in enumerate(words):
            if depth == MOST_DEPTH:
                names.append("...")
                break
            name = ID if ID in place.after and place.after.keys() == {ID} else word
            if name not in place.after:
                if _IDENTIFIER.fullmatch(word) or word == ID:
                    name = ID
                if name not in place.after and len(place.after) >= MOST_WORDS:
                    self._merge(place)
                    name = ID
            place = place.after.setdefault(name, _Place())
            names.append(name)
        return "/" + "/".join(names)

    def _merge(self, place: _Place) -> None:
        """All words of a place are one identifier from now on."""
        one = _Place()
        for other in place.after.values():
            _absorb(one, other)
        place.after = {ID: one}
        self._known.clear()
        self._merged()


def _absorb(into: _Place, other: _Place) -> None:
    for word, place in other.after.items():
        _absorb(into.after.setdefault(word, _Place()), place)
