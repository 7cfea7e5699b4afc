"""Follows a list of objects for as long as one likes, through lost connections and expired versions; for `workload`.

A list, then a watch from the list's resourceVersion, kept fresh by bookmarks. When that version is gone (410), a new list
is compared with what was last known and the differences are told as events: whoever listens never notices. Between two
connections there is always a pause, growing while nothing works.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from interceptor.kube.errors import ApiError, Call, Gone, Unreachable, api_error
from interceptor.kube.resources import Resource
from interceptor.kube.retry import backoff
from interceptor.kube.transport import Request, Transport

ADDED, MODIFIED, DELETED, SYNCED = "ADDED", "MODIFIED", "DELETED", "SYNCED"

# The server ends each watch after ROUND seconds, so that a connection that died silently is noticed soon after.
ROUND = 60
SILENCE = ROUND + 15.0
HEALTHY = 10.0  # a watch that lived as long as this starts the pauses anew
JSON = "application/json"
# A tenth of the bytes where many pods are listed; a server that can't answers with whole objects.
METADATA_ONLY = f"{JSON};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,{JSON}"
LINE_LIMIT = 16 * 1024 * 1024  # etcd's objects have at most 1.5 MiB


@dataclass(frozen=True)
class WatchEvent:
    """ADDED, MODIFIED or DELETED with the object, or SYNCED (no object) after each complete list."""

    type: str
    object: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Listing:
    """Objects, and the version to watch them from."""

    items: list[dict[str, Any]]
    resource_version: str


class Reflector:
    """One resource in one namespace (None: all), filtered by selectors."""

    def __init__(
        self, transport: Transport, resource: Resource, namespace: str | None, selectors: dict[str, str]
    ) -> None:
        self._transport = transport
        self._resource = resource
        self._namespace = namespace
        self._selectors = selectors
        self._known: dict[str, dict[str, Any]] = {}  # by uid
        self._version = ""

    async def events(self) -> AsyncGenerator[WatchEvent, None]:
        """List and watch for ever.

        The first list's errors are raised, and later ones that won't pass by themselves (401, 403, 404).
        """
        failures = 0
        synced = False
        while True:
            began = time.monotonic()
            try:
                if not self._version:
                    listing = await list_objects(self._transport, self._resource, self._namespace, self._selectors)
                    for event in self._differences(listing):
                        yield event
                    synced = True
                    yield WatchEvent(SYNCED)
                began = time.monotonic()
                async with aclosing(self._stream()) as stream:
                    async for event in stream:
                        yield event
            except Gone:
                self._version = ""
            except (ApiError, Unreachable) as error:
                lasting = isinstance(error, ApiError) and error.status < 500 and error.status != 429
                if lasting or not synced:
                    raise
            failures = 0 if time.monotonic() - began > HEALTHY else failures + 1
            await asyncio.sleep(backoff(min(failures, 10)))

    async def _stream(self) -> AsyncGenerator[WatchEvent, None]:
        params = {
            **self._selectors,
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            "timeoutSeconds": str(ROUND),
        }
        call = Call("watch", self._resource, self._namespace or "")
        request = Request("GET", self._resource.path(self._namespace), call, params)
        async with self._transport.open(request, silence=SILENCE) as response:
            line = bytearray()
            async for chunk in response.content.iter_any():
                start = 0
                while (end := chunk.find(b"\n", start)) >= 0:
                    line += chunk[start:end]
                    start = end + 1
                    event = self._read(bytes(line), call)
                    line.clear()
                    if event is not None:
                        yield event
                line += chunk[start:]
                if len(line) > LINE_LIMIT:
                    raise aiohttp.ClientPayloadError("an event too large")

    def _read(self, line: bytes, call: Call) -> WatchEvent | None:
        try:
            event = json.loads(line)
            kind, thing = event["type"], event["object"]
        except (ValueError, KeyError, TypeError) as error:
            raise Unreachable("the watch brought something that is no event") from error
        if kind == "ERROR":
            raise api_error(int(thing.get("code") or 500), json.dumps(thing).encode(), call)
        metadata = thing["metadata"]
        self._version = metadata["resourceVersion"]
        if kind == "BOOKMARK":
            return None
        uid = metadata["uid"]
        if kind == DELETED:
            self._known.pop(uid, None)
        else:
            self._known[uid] = thing
        return WatchEvent(kind, thing)

    def _differences(self, listing: Listing) -> Iterator[WatchEvent]:
        """What a new list says happened since the last event."""
        fresh = {item["metadata"]["uid"]: item for item in listing.items}
        before, self._known, self._version = self._known, fresh, listing.resource_version
        for uid, thing in before.items():
            if uid not in fresh:
                yield WatchEvent(DELETED, thing)
        for uid, thing in fresh.items():
            if uid not in before:
                yield WatchEvent(ADDED, thing)
            elif thing["metadata"]["resourceVersion"] != before[uid]["metadata"]["resourceVersion"]:
                yield WatchEvent(MODIFIED, thing)


async def list_objects(
    transport: Transport,
    resource: Resource,
    namespace: str | None,
    selectors: dict[str, str],
    *,
    metadata_only: bool = False,
) -> Listing:
    """List everything, page by page; a list that expires between two pages is begun again, once."""
    call = Call("list", resource, namespace or "")
    accept = METADATA_ONLY if metadata_only else JSON
    for attempt in (1, 2):
        items: list[dict[str, Any]] = []
        params = {**selectors, "limit": "500"}
        try:
            while True:
                page = await transport.json(Request("GET", resource.path(namespace), call, params, accept=accept))
                items += page.get("items") or []
                token = page["metadata"].get("continue")
                if not token:
                    break
                params["continue"] = token
        except Gone:
            if attempt == 2:
                raise
            continue
        for item in items:  # the items of a list don't say what they are, or just that they are metadata
            item["apiVersion"], item["kind"] = resource.group_version, resource.kind
        return Listing(items, page["metadata"].get("resourceVersion", ""))
    raise AssertionError("the second attempt returns or raises")
