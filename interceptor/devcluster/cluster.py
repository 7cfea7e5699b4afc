"""The dev cluster put together: `async with DevCluster(folder) as cluster`, then `cluster.kubeconfig`. For demo and tests.

Start: a block of loopback addresses, an authority, the first objects, controllers, kubelet, Service proxy, API server.
End: every process of every pod is killed; the shim sees to that even when this process is.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType

import aiohttp
import yaml
from aiohttp import web

from interceptor.devcluster import resources
from interceptor.devcluster.addresses import API_PORT, Block
from interceptor.devcluster.admission import NODE, Admission
from interceptor.devcluster.api.discovery import VERSION
from interceptor.devcluster.api.handlers import Handlers
from interceptor.devcluster.api.reviews import Reviews
from interceptor.devcluster.api.server import ApiServer, tls_context
from interceptor.devcluster.auth import roles
from interceptor.devcluster.auth.authn import Authenticator
from interceptor.devcluster.auth.certs import Authority, Pair
from interceptor.devcluster.auth.rbac import Rbac
from interceptor.devcluster.auth.tokens import Tokens, User
from interceptor.devcluster.control.deployments import Deployments
from interceptor.devcluster.control.endpoints import Endpoints
from interceptor.devcluster.control.garbage import Garbage
from interceptor.devcluster.control.jobs import Jobs
from interceptor.devcluster.control.namespaces import Namespaces
from interceptor.devcluster.control.replicasets import ReplicaSets
from interceptor.devcluster.faults import Faults
from interceptor.devcluster.node.images import Image, Images
from interceptor.devcluster.node.kubelet import Kubelet
from interceptor.devcluster.node.processes import Processes
from interceptor.devcluster.registry import Registry
from interceptor.devcluster.service_proxy import ServiceProxy
from interceptor.devcluster.store import Store
from interceptor.devcluster.stream.execs import Execs
from interceptor.devcluster.stream.logs import Logs
from interceptor.devcluster.stream.portforward import PortForwards

_NAMESPACES = ("default", "kube-system", "kube-public")


class DevCluster:
    """A small Kubernetes for one machine and one purpose; see the module."""

    def __init__(self, folder: Path, *, images: Mapping[str, Image] | None = None) -> None:
        self.folder = folder
        self.kubeconfig = folder / "kubeconfig"
        self.faults = Faults()
        self.store = Store()
        self.authority = Authority()
        self.server = ""
        self.admin_token = secrets.token_hex(16)
        self._more_images = dict(images or {})
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> DevCluster:
        self.folder.mkdir(parents=True, exist_ok=True)
        async with AsyncExitStack() as stack:
            await self._start(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _start(self, stack: AsyncExitStack) -> None:
        block = Block()
        stack.callback(block.listener.close)
        registry = Registry(self.store, Admission(block.services))
        tokens, rbac = Tokens(self.store), Rbac(self.store)
        processes = await stack.enter_async_context(Processes())
        http = await stack.enter_async_context(
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, force_close=True))
        )
        images = Images(self.folder)
        images.known |= self._more_images
        kubelet = Kubelet(registry, tokens, block.pods, images, processes, http, self.folder, block.api)
        proxy = ServiceProxy(registry, kubelet.hosts_file)
        controllers = [
            Namespaces(registry, self.authority.pem),
            Deployments(registry),
            ReplicaSets(registry),
            Jobs(registry),
            Garbage(registry),
            Endpoints(registry),
            proxy,
        ]
        group = await stack.enter_async_context(asyncio.TaskGroup())
        stack.callback(self._cancel)
        for controller in controllers:
            self._tasks.append(group.create_task(controller.run(), name=type(controller).__name__))
        self._tasks.append(group.create_task(kubelet.run(), name="kubelet"))
        _first_objects(registry, block.api)
        static = {self.admin_token: User("dev-admin", ("system:masters", "system:authenticated"))}
        reviews = Reviews(self.store, rbac, tokens)
        api = ApiServer(
            Handlers(registry, rbac, reviews, self.faults),
            Authenticator(tokens, rbac, static),
            rbac,
            self.faults,
            {
                "log": Logs(registry, kubelet).serve,
                "exec": Execs(registry, kubelet).serve,
                "portforward": PortForwards(registry, kubelet).serve,
            },
            f"{block.api}:{API_PORT}",
        )
        await self._listen(stack, api, block)

    async def _listen(self, stack: AsyncExitStack, api: ApiServer, block: Block) -> None:
        names = [
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
            "localhost",
        ]
        pair = self.authority.server(names, [block.api, "127.0.0.1"])
        cert, key = pair.write(self.folder, "apiserver")
        runner = web.AppRunner(api.application(), access_log=None, handler_cancellation=True, shutdown_timeout=1.0)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        stack.callback(self.faults.cut, how="close")
        await web.SockSite(
            runner, block.listener, ssl_context=tls_context(str(cert), str(key), self.authority.pem)
        ).start()
        self.server = f"https://{block.api}:{API_PORT}"
        self._write_kubeconfig(self.kubeconfig, self.authority.client("dev-admin", ["system:masters"]))

    def _cancel(self) -> None:
        for task in self._tasks:
            task.cancel()

    def _write_kubeconfig(self, path: Path, pair: Pair) -> None:
        cert, key = pair.write(self.folder, "admin")
        ca = self.folder / "ca.crt"
        ca.write_bytes(self.authority.pem)
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "dev",
            "clusters": [
                {"name": "dev", "cluster": {"server": self.server, "certificate-authority": str(ca.resolve())}}
            ],
            "users": [
                {
                    "name": "dev-admin",
                    "user": {"client-certificate": str(cert.resolve()), "client-key": str(key.resolve())},
                }
            ],
            "contexts": [{"name": "dev", "context": {"cluster": "dev", "user": "dev-admin", "namespace": "default"}}],
        }
        path.write_text(yaml.safe_dump(config, sort_keys=False))


def _first_objects(registry: Registry, address: str) -> None:
    """Store what every cluster has from the start."""
    for name in _NAMESPACES:
        registry.create(resources.NAMESPACES, "", {"metadata": {"name": name}})
    for name in roles.CLUSTER_ROLES:
        registry.create(resources.CLUSTERROLES, "", roles.role(name))
    for name in roles.CLUSTER_BINDINGS:
        registry.create(resources.CLUSTERROLEBINDINGS, "", roles.binding(name))
    port = {"name": "https", "port": API_PORT, "protocol": "TCP", "targetPort": API_PORT}
    registry.create(
        resources.SERVICES,
        "default",
        {
            "metadata": {"name": "kubernetes", "labels": {"component": "apiserver", "provider": "kubernetes"}},
            "spec": {"clusterIP": address, "ports": [port]},
        },
    )
    registry.create(
        resources.ENDPOINTS,
        "default",
        {
            "metadata": {"name": "kubernetes"},
            "subsets": [
                {"addresses": [{"ip": address}], "ports": [{"name": "https", "port": API_PORT, "protocol": "TCP"}]}
            ],
        },
    )
    node = registry.create(
        resources.NODES,
        "",
        {
            "metadata": {"name": NODE, "labels": {"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux"}},
            "spec": {},
            "status": {
                "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": NODE}],
                "nodeInfo": {"kubeletVersion": VERSION["gitVersion"], "operatingSystem": "linux"},
                "conditions": [
                    {
                        "type": "Ready",
                        "status": "True",
                        "reason": "KubeletReady",
                        "message": "kubelet is posting ready status",
                    }
                ],
            },
        },
    )
    assert node["metadata"]["uid"]
