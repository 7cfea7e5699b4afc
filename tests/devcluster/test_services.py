from __future__ import annotations

import asyncio

from interceptor.devcluster.cluster import DevCluster
from tests.contract.api import Api
from tests.contract.manifests import ECHO, HTTP, deployment, python

APPS = "apps/v1"
PROBE = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}


async def service(api: Api, name: str, port: int = 8080, **more: object) -> str:
    spec = {"selector": {"app": "web"}, "ports": [{"port": port, "targetPort": 8080}], **more}
    made = await api.ok("POST", api.path("services"), {"metadata": {"name": name}, "spec": spec})
    return str(made["spec"]["clusterIP"])


async def ready(api: Api, count: int) -> None:
    def enough(found: dict[str, object]) -> bool:
        status = found.get("status")
        return isinstance(status, dict) and status.get("readyReplicas", 0) == count

    await api.eventually(lambda: api.get(api.path("deployments", "web", group=APPS)), enough)


async def ask(address: str, port: int = 8080) -> bytes:
    reader, writer = await asyncio.open_connection(address, port)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


async def test_service_takes_turns(cluster: DevCluster, api: Api) -> None:
    env = [{"name": "WORD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    made = deployment("web", python(HTTP, env=env, readinessProbe=PROBE), replicas=2)
    await api.ok("POST", api.path("deployments", group=APPS), made)
    address = await service(api, "web")
    await ready(api, 2)
    answers = {(await ask(address)).rpartition(b"\n")[2] for _ in range(4)}
    assert len(answers) == 2


async def test_service_keeps_half_close(cluster: DevCluster, api: Api) -> None:
    made = deployment("web", python(ECHO, readinessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1}))
    await api.ok("POST", api.path("deployments", group=APPS), made)
    address = await service(api, "web")
    await ready(api, 1)
    reader, writer = await asyncio.open_connection(address, 8080)
    writer.write(b"x" * 300_000)
    writer.write_eof()
    assert await reader.read() == b"x" * 300_000
    writer.close()


async def test_names_are_in_the_hosts_file(cluster: DevCluster, api: Api) -> None:
    address = await service(api, "web")
    line = f"{address} web.test.svc.cluster.local web.test.svc web.test web"

    async def lines() -> list[str]:
        return (cluster.folder / "hosts").read_text().splitlines()

    await api.eventually(lines, lambda found: line in found)
    await api.ok("DELETE", api.path("services", "web"))
    await api.eventually(lines, lambda found: line not in found)


async def test_low_port_is_told_or_served(cluster: DevCluster, api: Api) -> None:
    """Who isn't root hears of it in an event."""
    address = await service(api, "web", port=80)

    async def outcome() -> str:
        try:
            _, writer = await asyncio.open_connection(address, 80)
        except OSError:
            events = (await api.ok("GET", api.path("events"), fieldSelector="reason=FailedToListen"))["items"]
            return "told" if events else ""
        writer.close()
        return "served"

    assert await api.eventually(outcome, bool) in ("told", "served")
