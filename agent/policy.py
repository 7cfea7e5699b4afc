"""Reverts what `profile set` changed, when its client is gone: all that this pod is for. Started by `__main__`.

Nobody connects here and nothing is relayed, so there is no loop of sockets: look at the Lease, wait, look again. How long
a Lease must stand still, and that only time counts in which the API server answered, is the watchdog's as everywhere.
"""

from __future__ import annotations

import select
import signal
import socket
import sys
import time
from enum import Enum, auto
from typing import Any

from agent.api import Api, ApiError
from agent.config import Config
from agent.journal import say
from agent.watchdog import Watchdog
from interceptor.swap import json_patch, precondition
from interceptor.swap.policy import FIELD_MANAGER, given_back, policy_record_of, revert

TRY_AGAIN = 1.0


class Look(Enum):
    """What a look at the Lease found."""

    HELD = auto()
    UNSEEN = auto()
    OVER = auto()


_MANAGER = f"?fieldManager={FIELD_MANAGER}"


def serve(config: Config) -> int:
    """Watch until the client is gone or has ended in order; 0 then."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    api, watchdog = Api(config.folder), Watchdog(config.lost_after, config.silent_after)
    door: socket.socket | None = None
    say(f"session {config.session}: guarding {config.workload}")
    while (look := _look(api, config, watchdog)) is not Look.OVER:
        if door is None and look is Look.HELD:
            # Now it is known that the API server can be reached, and that we may ask: the kubelet may call us ready.
            door = socket.create_server((config.bind, config.health_port))
        _wait(door, watchdog.pause)
    while not _end(api, config):
        time.sleep(TRY_AGAIN)
    return 0


def _wait(door: socket.socket | None, seconds: float) -> None:
    """Wait, and let the kubelet's probes in."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if door is None:
            time.sleep(left)
        elif select.select([door], [], [], left)[0]:
            door.accept()[0].close()


def _look(api: Api, config: Config, watchdog: Watchdog) -> Look:
    """Look once."""
    try:
        spec = api.get(config.lease).get("spec") or {}
    except ApiError as error:
        if error.status == 404:
            say("the session's Lease is gone")
            return Look.OVER
        say(f"the Lease can't be read: {error}")
        watchdog.unseen()
        return Look.UNSEEN
    except OSError as error:
        say(f"the API server can't be reached: {error}")
        watchdog.unseen()
        return Look.UNSEEN
    holder = str(spec.get("holderIdentity", ""))
    if not holder.endswith("/" + config.session):
        say("another session holds the lock")
        return Look.OVER
    lasts = float(spec.get("leaseDurationSeconds") or config.silent_after)
    if watchdog.seen(f"{holder} {spec.get('renewTime')}", lasts, time.monotonic()):
        say(f"{config.holder} is gone")
        return Look.OVER
    return Look.HELD


def _end(api: Api, config: Config) -> bool:
    """Revert, and delete the session object with all that it owns, this pod too; False: try again."""
    try:
        _revert(api, config)
        api.delete(config.owner)
    except ApiError as error:
        if error.status == 404:
            return True
        say(f"reverting failed, trying again: {error}")
        return False
    except OSError as error:
        say(f"reverting failed, trying again: {error}")
        return False
    return True


def _revert(api: Api, config: Config) -> None:
    try:
        found = api.get(config.workload)
        record = policy_record_of(found)
        if record is None or record.session != config.session:
            say("it is reverted already")
            return
        metadata = found["metadata"]
        wanted = revert(found).wanted
        if wanted is None:
            api.delete(config.workload, metadata["uid"])
            say("it was made by the session, and is deleted")
            return
        stored = _write(api, config, found, json_patch(found, wanted))
    except ApiError as error:
        if error.status == 404:
            say("it is gone")
            return
        raise
    say("it is reverted")
    managers = given_back(stored, record)
    if managers is not None:
        try:
            _write(api, config, stored, [{"op": "replace", "path": "/metadata/managedFields", "value": managers}])
        except ApiError as error:  # the content is right: who is named as its writer is a courtesy
            say(f"its fields' owners can't be told: {error}")


def _write(api: Api, config: Config, found: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    version = found["metadata"]["resourceVersion"]
    return api.patch(config.workload + _MANAGER, [precondition(version), *operations])
