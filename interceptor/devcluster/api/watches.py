"""One watch: what happened since a version, then what happens, a JSON event a line; called by `handlers`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

from aiohttp import web

from interceptor.devcluster.api import tables
from interceptor.devcluster.api.requestinfo import RequestInfo
from interceptor.devcluster.faults import Stream
from interceptor.devcluster.objects import Object
from interceptor.devcluster.selection import Predicate
from interceptor.devcluster.status import ApiError, gone
from interceptor.devcluster.store import Change, Feed, Store

BOOKMARK_EVERY = 10.0
_LONGEST = 3600.0


class Watch:
    """Writes the events of one request; ends when the client goes, its time is up, or a fault cuts it."""

    def __init__(
        self, store: Store, info: RequestInfo, query: Mapping[str, str], predicate: Predicate | None, include: str
    ) -> None:
        assert info.resource is not None
        self._store = store
        self._resource = info.resource
        self._namespace = info.namespace
        self._name = info.name
        self._predicate = predicate
        self._query = query
        self._include = include  # "" unless the client wants tables
        self._headers = True

    async def run(self, request: web.Request, stream: Stream) -> web.StreamResponse:
        """Serve the watch to its end."""
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        )
        response.enable_chunked_encoding()
        await response.prepare(request)
        asked = self._query.get("resourceVersion", "")
        initial = asked in ("", "0") or self._query.get("sendInitialEvents") == "true"
        seconds = min(float(self._query.get("timeoutSeconds") or _LONGEST), _LONGEST)
        try:
            async with asyncio.timeout(seconds):
                with self._store.feed(self._resource, None if initial else int(asked)) as feed:
                    stream.end = feed.end
                    if initial:
                        await self._send_initial(response)
                    await self._follow(response, feed)
        except TimeoutError:
            pass
        except ApiError as error:
            await _write(response, "ERROR", error.status())
        except ConnectionResetError:
            return response  # the client is gone: nobody to end the body for
        await response.write_eof()
        return response

    async def _send_initial(self, response: web.StreamResponse) -> None:
        version = self._store.version
        for obj in self._store.list(self._resource, self._namespace if self._resource.namespaced else ""):
            if self._selected(obj):
                await self._event(response, "ADDED", obj)
        if self._query.get("sendInitialEvents") == "true":
            await self._bookmark(response, version, {"k8s.io/initial-events-end": "true"})

    async def _follow(self, response: web.StreamResponse, feed: Feed) -> None:
        bookmarks = self._query.get("allowWatchBookmarks") in ("1", "true")
        while not feed.ended:
            try:
                async with asyncio.timeout(BOOKMARK_EVERY):
                    changes = await feed.take()
            except TimeoutError:
                if bookmarks:
                    await self._bookmark(response, self._store.version, {})
                continue
            for change in changes:
                await self._change(response, change)
            if feed.broken:
                raise gone(0, self._store.oldest)

    def _selected(self, obj: Object) -> bool:
        metadata = obj["metadata"]
        return (
            (not self._namespace or not self._resource.namespaced or metadata.get("namespace") == self._namespace)
            and (not self._name or metadata["name"] == self._name)
            and (self._predicate is None or self._predicate(obj))
        )

    async def _change(self, response: web.StreamResponse, change: Change) -> None:
        """Send a change as this watch's selector sees it: leaving the selection is a deletion."""
        now = change.kind != "DELETED" and self._selected(change.obj)
        before = change.previous is not None and self._selected(change.previous)
        if now:
            await self._event(response, "MODIFIED" if before else "ADDED", change.obj)
        elif before:
            await self._event(response, "DELETED", change.obj)

    async def _event(self, response: web.StreamResponse, kind: str, obj: Object) -> None:
        body = obj
        if self._include:
            version = obj["metadata"]["resourceVersion"]
            body = tables.table(self._resource, [obj], version, include=self._include, headers=self._headers)
            self._headers = False
        await _write(response, kind, body)

    async def _bookmark(self, response: web.StreamResponse, version: int, annotations: dict[str, str]) -> None:
        metadata: Object = {"resourceVersion": str(version), "creationTimestamp": None}
        if annotations:
            metadata["annotations"] = annotations
        mark: Object = {"kind": self._resource.kind, "apiVersion": self._resource.api_version, "metadata": metadata}
        if self._include:
            mark = {
                "kind": "Table",
                "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": str(version)},
                "columnDefinitions": None,
                "rows": [{"cells": [], "object": mark}],
            }
        await _write(response, "BOOKMARK", mark)


async def _write(response: web.StreamResponse, kind: str, obj: Object) -> None:
    await response.write(json.dumps({"type": kind, "object": obj}, separators=(",", ":")).encode() + b"\n")
