"""What a Lease tells about its holder: who, since when, and whether they live; `session` and `lease` ask.

Clocks of laptops and clusters differ, so a holder lives when renewals are seen to arrive, never because of a time.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from interceptor.errors import InterceptorError
from interceptor.kube import resources
from interceptor.workload.kinds import ref_from_lease
from interceptor.workload.objects import OURS

if TYPE_CHECKING:
    from interceptor.kube import Cluster

Object = dict[str, Any]

SIGN_OF_LIFE = 4.5  # seconds; a client renews every second, and gives a request that hangs 3 s before the next


class AlreadyIntercepted(InterceptorError):
    """Somebody else's client holds the workload, and it lives."""

    def __init__(self, found: Object, hint: str = "ask them to stop, or end their session with --take-over") -> None:
        super().__init__(
            f"{title_of(found)} is already intercepted by {holder_of(found)} since {since_of(found)}", hint=hint
        )
        self.found = found


def title_of(found: Object) -> str:
    """The workload it locks, as people type it."""
    ref = ref_from_lease(found["metadata"]["name"], found["metadata"].get("namespace", ""))
    return ref.title if ref is not None else str(found["metadata"]["name"])


def holder_of(found: Object) -> str:
    """Who holds it, without the session's name."""
    return str(found["spec"].get("holderIdentity") or "somebody").rpartition("/")[0] or "somebody"


def session_of(found: Object) -> str:
    """Whose session holds it; empty for a Lease without a holder."""
    return str(found["spec"].get("holderIdentity") or "").rpartition("/")[2]


def since_of(found: Object) -> str:
    """Since when, as people read it, by the holder's clock."""
    return moment(found["spec"].get("acquireTime") or found["metadata"].get("creationTimestamp"))


def moment(text: str) -> str:
    """A time of the API as people read it."""
    return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


@dataclass(slots=True)
class WatchedLease:
    """A Lease, and whether its holder renewed it while we watched."""

    lease: Object
    alive: bool = False


async def signs_of_life(
    cluster: Cluster, namespace: str | None, *, name: str = "", within: float = SIGN_OF_LIFE
) -> list[WatchedLease]:
    """All our Leases of a namespace (None: of all; or the one of that name), each watched for a renewal.

    One watch for all of them. Returns as soon as every holder has shown itself, after `within` seconds at the latest.
    """
    loop = asyncio.get_running_loop()
    found: dict[str, WatchedLease] = {}
    synced = False
    field = f"metadata.name={name}" if name else ""
    events = cluster.watch(resources.LEASES, namespace, label_selector=OURS, field_selector=field)
    with suppress(TimeoutError):
        async with asyncio.timeout(None) as limit, aclosing(events):
            async for event in events:
                if event.type == "SYNCED":
                    if not synced:
                        limit.reschedule(loop.time() + within)
                    synced = True
                elif event.type == "DELETED":
                    found.pop(event.object["metadata"]["uid"], None)
                else:
                    _note(found, event.object)
                if synced and all(one.alive or not session_of(one.lease) for one in found.values()):
                    break
    return list(found.values())


def _note(found: dict[str, WatchedLease], lease: Object) -> None:
    before = found.get(lease["metadata"]["uid"])
    renewed = before is not None and _signs(before.lease) != _signs(lease)
    found[lease["metadata"]["uid"]] = WatchedLease(lease, renewed or (before is not None and before.alive))


def _signs(lease: Object) -> tuple[object, object]:
    return lease["spec"].get("renewTime"), lease["spec"].get("holderIdentity")
