"""The probes of one running container, with the kubelet's timing; run by `container`.

startupProbe comes first and holds back the others; readiness moves the pod in and out of its Services; a failed
liveness ends the container.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import aiohttp

from interceptor.devcluster.node import grpc_probe
from interceptor.devcluster.objects import Object

if TYPE_CHECKING:
    from interceptor.devcluster.node.container import Container

_BODY_SHOWN = 512


class Prober:
    """Runs the probes of one run of a container."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self._worker = container.worker

    async def run(self) -> None:
        """Probe until cancelled (the container ended)."""
        spec = self._container.spec
        if probe := spec.get("startupProbe"):
            if not await self._until(probe, "Startup"):
                await self._kill(probe, "Startup")
                return
            self._container.started = True
            self._container.ready = "readinessProbe" not in spec
            self._worker.publish()
        async with asyncio.TaskGroup() as group:
            if probe := spec.get("readinessProbe"):
                group.create_task(self._readiness(probe), name=f"readiness {self._worker.name}")
            if probe := spec.get("livenessProbe"):
                group.create_task(self._liveness(probe), name=f"liveness {self._worker.name}")

    async def _until(self, probe: Object, kind: str) -> bool:
        """Probe until success (True) or as many failures as the threshold allows (False)."""
        await asyncio.sleep(probe.get("initialDelaySeconds", 0))
        failures = successes = 0
        while True:
            if await self._try(probe, kind):
                failures, successes = 0, successes + 1
                if successes >= probe["successThreshold"] and kind == "Startup":
                    return True
            else:
                successes, failures = 0, failures + 1
                if failures >= probe["failureThreshold"]:
                    return False
            await asyncio.sleep(probe["periodSeconds"])

    async def _readiness(self, probe: Object) -> None:
        await asyncio.sleep(probe.get("initialDelaySeconds", 0))
        failures = successes = 0
        while True:
            if await self._try(probe, "Readiness"):
                failures, successes = 0, successes + 1
            else:
                successes, failures = 0, failures + 1
            ready = self._container.ready
            if not ready and successes >= probe["successThreshold"]:
                self._ready(True)
            elif ready and failures >= probe["failureThreshold"]:
                self._ready(False)
            await asyncio.sleep(probe["periodSeconds"])

    def _ready(self, value: bool) -> None:
        self._container.ready = value
        self._worker.publish()

    async def _liveness(self, probe: Object) -> None:
        await self._until(probe, "Liveness")
        await self._kill(probe, "Liveness")

    async def _kill(self, probe: Object, kind: str) -> None:
        process = self._container.process
        if process is None or self._worker.stopping:
            return
        self._container.event(
            "Killing", f"Container {self._container.name} failed {kind.lower()} probe, will be restarted"
        )
        await self._container.end_process(process, probe.get("terminationGracePeriodSeconds", self._worker.grace))

    async def _try(self, probe: Object, kind: str) -> bool:
        try:
            async with asyncio.timeout(probe["timeoutSeconds"]):
                problem = await self._ask(probe)
        except TimeoutError:
            problem = (
                f"command timed out after {probe['timeoutSeconds']}s"
                if "exec" in probe
                else ("context deadline exceeded (Client.Timeout exceeded while awaiting headers)")
            )
        except aiohttp.ClientConnectorError as error:
            problem = f"dial tcp {self._worker.address}: connect: {_words(error.os_error)}"
        except OSError as error:
            problem = f"dial tcp {self._worker.address}: connect: {_words(error)}"
        except aiohttp.ClientError as error:
            problem = str(error) or "EOF"
        if problem is None:
            return True
        if not self._worker.stopping:
            self._container.event("Unhealthy", f"{kind} probe failed: {problem}", "Warning")
        return False

    async def _ask(self, probe: Object) -> str | None:
        """Return what is wrong, None when nothing is."""
        if "httpGet" in probe:
            return await self._http(probe["httpGet"])
        if "exec" in probe:
            code, output = await self._worker.run_in(self._container, list(probe["exec"]["command"]))
            return None if code == 0 else output
        if "grpc" in probe:
            return await grpc_probe.check(self._worker.address, probe["grpc"]["port"], probe["grpc"].get("service", ""))
        action = probe["tcpSocket"]
        _, writer = await asyncio.open_connection(
            action.get("host") or self._worker.address, self._port(action["port"])
        )
        writer.close()
        return None

    async def _http(self, action: Object) -> str | None:
        scheme, host = action["scheme"].lower(), action.get("host") or self._worker.address
        url = f"{scheme}://{host}:{self._port(action['port'])}/{action['path'].lstrip('/')}"
        headers = {"User-Agent": "kube-probe/1.34", "Accept": "*/*", "Connection": "close"}
        headers |= {header["name"]: header["value"] for header in action.get("httpHeaders") or ()}
        async with self._worker.http.get(url, headers=headers, ssl=False, allow_redirects=True) as response:
            if 200 <= response.status < 400:
                return None
            await response.content.read(_BODY_SHOWN)
            return f"HTTP probe failed with statuscode: {response.status}"

    def _port(self, port: int | str) -> int:
        if isinstance(port, int):
            return port
        for own in self._container.spec.get("ports") or ():
            if own.get("name") == port:
                return int(own["containerPort"])
        if port.isdigit():
            return int(port)
        raise OSError(f"couldn't find port {port} in container {self._container.name}")


def _words(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else str(error)  # asyncio words it otherwise
