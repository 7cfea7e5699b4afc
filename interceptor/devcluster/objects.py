"""What every stored object has in common: names, times, owners.

Used by all parts of the dev cluster. Imports nothing of it.
"""

from __future__ import annotations

import copy
import secrets
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

Object = dict[str, Any]
"""A Kubernetes object as JSON. What the store hands out is shared: copy before changing (`clone`)."""

_SAFE = "bcdfghjklmnpqrstvwxz2456789"  # the alphabet of generated names: no vowels, so no words by accident


def clone(obj: Object) -> Object:
    """Return a deep copy that may be changed."""
    return copy.deepcopy(obj)


def suffix(length: int = 5) -> str:
    """Return the random end of a generated name."""
    return "".join(secrets.choice(_SAFE) for _ in range(length))


def safe_encode(number: int) -> str:
    """Spell a number (a template's hash) in the alphabet of generated names."""
    return "".join(_SAFE[int(digit) % len(_SAFE)] for digit in str(number))


def new_uid() -> str:
    """Return a fresh uid."""
    return str(uuid.uuid4())


def utcnow() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


def timestamp(moment: datetime | None = None) -> str:
    """Spell a time as `metav1.Time` does: whole seconds."""
    return (moment or utcnow()).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime:
    """Read what `timestamp` (or a MicroTime) wrote."""
    return datetime.fromisoformat(text)


def seconds_since(text: str) -> float:
    """Return the age of a timestamp. Whole seconds are stored, so up to one second too much."""
    return (utcnow() - parse_time(text)).total_seconds()


def later(seconds: float) -> str:
    """Spell the time `seconds` from now."""
    return timestamp(utcnow() + timedelta(seconds=seconds))


def name_of(obj: Object) -> str:
    """Return metadata.name."""
    return str(obj["metadata"]["name"])


def namespace_of(obj: Object) -> str:
    """Return metadata.namespace, "" for cluster-scoped objects."""
    return str(obj["metadata"].get("namespace", ""))


def uid_of(obj: Object) -> str:
    """Return metadata.uid."""
    return str(obj["metadata"]["uid"])


def deleting(obj: Object) -> bool:
    """Tell whether the object is on its way out."""
    return bool(obj["metadata"].get("deletionTimestamp"))


def controller_of(obj: Object) -> Object | None:
    """Return the owner reference marked as controller."""
    for ref in obj["metadata"].get("ownerReferences") or ():
        if ref.get("controller"):
            return dict(ref)
    return None


def owned_by(obj: Object, owner: Object) -> bool:
    """Tell whether `owner` is the controller of `obj`."""
    ref = controller_of(obj)
    return ref is not None and ref["uid"] == uid_of(owner)


def condition(obj: Object, kind: str) -> Object | None:
    """Return one of status.conditions."""
    for item in (obj.get("status") or {}).get("conditions") or ():
        if item["type"] == kind:
            return dict(item)
    return None


def is_true(obj: Object, kind: str) -> bool:
    """Tell whether a condition holds."""
    found = condition(obj, kind)
    return found is not None and found["status"] == "True"
