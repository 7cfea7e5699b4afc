"""`kubectl logs`, also `-f`: the file a container writes to; called by `api.server`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import BinaryIO

from aiohttp import web

from interceptor.devcluster import resources
from interceptor.devcluster.api.requestinfo import RequestInfo
from interceptor.devcluster.faults import Stream
from interceptor.devcluster.node.container import Container
from interceptor.devcluster.node.kubelet import Kubelet
from interceptor.devcluster.registry import Registry
from interceptor.devcluster.status import bad_request, unsupported

_LOOK_EVERY = 0.1  # a file can't be waited on; the standard library has no inotify
_CHUNK = 65536
_UNSUPPORTED = ("sinceSeconds", "sinceTime", "timestamps", "limitBytes")


def container_of(registry: Registry, kubelet: Kubelet, info: RequestInfo, name: str) -> Container:
    """Return the container a stream is meant for, or raise what the API server answers."""
    pod = registry.get(resources.PODS, info.namespace, info.name)
    names = [item["name"] for item in pod["spec"]["containers"]]
    if not name and len(names) > 1:
        raise bad_request(f"a container name must be specified for pod {info.name}, choose one of: [{' '.join(names)}]")
    worker = kubelet.find(info.namespace, info.name)
    container = worker.container(name) if worker else None
    if container is None:
        raise bad_request(f"container {name or names[0]} is not valid for pod {info.name}")
    return container


class Logs:
    """Serves pods/log."""

    def __init__(self, registry: Registry, kubelet: Kubelet) -> None:
        self._registry = registry
        self._kubelet = kubelet

    async def serve(self, request: web.Request, info: RequestInfo, stream: Stream) -> web.StreamResponse:
        """Send what is there; with `follow`, also what comes until the container ends."""
        query = request.query
        for name in _UNSUPPORTED:
            if query.get(name) not in (None, "", "false"):
                raise unsupported(f"logs with {name}")
        container = container_of(self._registry, self._kubelet, info, query.get("container", ""))
        previous = query.get("previous") == "true"
        path = container.previous_log if previous else container.log
        if not path.exists():
            if previous:
                raise bad_request(f'previous terminated container "{container.name}" in pod "{info.name}" not found')
            reason = container.state.get("waiting", {}).get("reason", "ContainerCreating")
            words = f'container "{container.name}" in pod "{info.name}" is waiting to start: {reason}'
            raise bad_request(words)
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        ended = asyncio.Event()
        stream.end = ended.set
        with path.open("rb") as file:
            if (tail := query.get("tailLines")) is not None:
                file.seek(_tail_start(path, int(tail)))
            await _send(file, response)
            if query.get("follow") == "true" and not previous:
                while container.process is not None and container.log == path and not ended.is_set():
                    await asyncio.sleep(_LOOK_EVERY)
                    await _send(file, response)
                await _send(file, response)
        await response.write_eof()
        return response


async def _send(file: BinaryIO, response: web.StreamResponse) -> None:
    while data := file.read(_CHUNK):
        await response.write(data)


def _tail_start(path: Path, lines: int) -> int:
    """Return where the last `lines` lines begin."""
    position = path.stat().st_size
    missing = lines + 1
    with path.open("rb") as file:
        while position > 0:
            size = min(_CHUNK, position)
            position -= size
            file.seek(position)
            block = file.read(size)
            if position + size == path.stat().st_size and block.endswith(b"\n"):
                missing = lines + 1
            elif position + size == path.stat().st_size:
                missing = lines
            at = len(block)
            while missing > 0 and (found := block.rfind(b"\n", 0, at)) >= 0:
                at = found
                missing -= 1
            if missing == 0:
                return position + at + 1
    return 0
