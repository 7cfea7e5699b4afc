"""Places inside a JSON object, and when two values count as the same; `record`, `template` and `undo` use it.

A path is a list of elements: a string is a key, `{"name": x}` is the item called x of a list, `{"mountPath": x}` the one
mounted at x. Items are found by what the API merges their list by, because others may reorder it while the swap lasts.
"""

from __future__ import annotations

import enum
from typing import Any

Element = Any  # str, or the item of a list by its merge key, as {"name": "app"}
Path = tuple[Element, ...]


class Absent(enum.Enum):
    """The value of a key that isn't there; JSON's null is a value and differs from it."""

    ABSENT = "absent"

    def __bool__(self) -> bool:
        return False


ABSENT = Absent.ABSENT


def look(value: Any, path: Path) -> Any:
    """The value at `path`, or ABSENT where any part of the way is missing."""
    for element in path:
        if isinstance(element, str):
            value = value.get(element, ABSENT) if isinstance(value, dict) else ABSENT
        else:
            index = _index(value, element)
            value = ABSENT if index is None else value[index]
    return value


def put(root: Any, path: Path, value: Any) -> None:
    """Set, append or (ABSENT) remove what is at `path`, in place. The parent must exist."""
    parent, last = look(root, path[:-1]), path[-1]
    if isinstance(last, str):
        if value is ABSENT:
            parent.pop(last, None)
        else:
            parent[last] = value
        return
    index = _index(parent, last)
    if value is ABSENT:
        if index is not None:
            del parent[index]
    elif index is None:
        parent.append(value)
    else:
        parent[index] = value


def has_parent(root: Any, path: Path) -> bool:
    """Whether `put` at `path` has something to put it into."""
    parent = look(root, path[:-1])
    return isinstance(parent, dict) if isinstance(path[-1], str) else isinstance(parent, list)


def text(path: Path) -> str:
    """A path as people write it: spec.containers[app].image."""
    words = ""
    for element in path:
        if not isinstance(element, str):
            words += f"[{', '.join(map(str, element.values()))}]"
        elif "." in element or "/" in element:
            words += f"[{element}]"
        else:
            words += f".{element}" if words else element
    return words


def same(one: Any, other: Any) -> bool:
    """Equality as JSON has it: 1 is not true, though Python says so."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    return bool(one == other)


def covers(written: Any, found: Any) -> bool:
    """Whether `found` is `written`, give or take keys that the API server added as defaults."""
    if isinstance(written, dict) and isinstance(found, dict):
        return all(key in found and covers(written[key], found[key]) for key in written)
    if isinstance(written, list) and isinstance(found, list):
        return len(written) == len(found) and all(map(covers, written, found))
    return same(written, found)


def _index(value: Any, element: dict[str, Any]) -> int | None:
    if not isinstance(value, list):
        return None
    for index, item in enumerate(value):
        if isinstance(item, dict) and all(same(item.get(key, ABSENT), value) for key, value in element.items()):
            return index
    return None
