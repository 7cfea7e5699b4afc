"""What the objects of a session are called; `session` picks one name at the start, `objects` and `lease` follow it."""

from __future__ import annotations

import hashlib
import secrets

OBJECT_NAME_LIMIT = 253  # DNS subdomain: what most kinds allow
_JOB_NAME_LIMIT = 63  # a Job's name is also a label of its pods
LETTERS = "bcdfghjklmnpqrstvwxz2456789"  # the cluster's own choice: no words, nothing that looks alike
_PREFIX = "interceptor-"


def new_session(workload_name: str) -> str:
    """A name for one intercept: `<workload>-<5 letters>`, fit to be a DNS label once the prefix is added."""
    ending = "".join(secrets.choice(LETTERS) for _ in range(5))
    room = _JOB_NAME_LIMIT - len(_PREFIX) - len(ending) - 1
    return f"{workload_name.replace('.', '-')[:room].rstrip('-')}-{ending}"


def object_name(session: str) -> str:
    """The name of everything the session creates except its Lease."""
    return f"{_PREFIX}{session}"


def lease_name(kind: str, workload_name: str) -> str:
    """The Lease's name, the same for everybody who wants this workload: that makes it a lock."""
    name = f"{_PREFIX}{kind.lower()}-{workload_name}"
    if len(name) <= OBJECT_NAME_LIMIT:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:12]
    return f"{name[: OBJECT_NAME_LIMIT - len(digest) - 1].rstrip('-.')}-{digest}"
