"""One test's piece of the cluster: a namespace, the test image, and ways to deploy, call, intercept and compare."""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from e2e import manifests
from e2e.api import Api, Credentials
from e2e.cluster import Cluster
from e2e.fingerprint import difference, fingerprint, machine, marked, settled, without_history
from e2e.intercept import Intercept
from e2e.kubectl import Kubectl, Object
from e2e.link import Link
from e2e.load import Load
from e2e.process import LocalServer, local_echo

# Seconds for what a cluster does by itself: moments, unless the machine is busy, and then a stalled kubelet, a late proxy
# and a controller's back-off may come one after the other. What they were is told.
PATIENCE = 90.0
MEASURED: list[str] = []  # what tests found out in numbers; told at the end of the run
LONG = os.environ.get("E2E_LONG") == "1"


class Scene:
    """What a test gets; everything it starts ends with it."""

    def __init__(self, cluster: Cluster, kubectl: Kubectl, image: str, folder: Path) -> None:
        self.cluster = cluster
        self.kubectl = kubectl
        self.namespace = kubectl.namespace
        self.image = image
        self.folder = folder
        self.marker = f"E2E_RUN={self.namespace}"
        self.homes = (folder / "home", folder / "tmp")  # of the developer whom a test plays
        for home in self.homes:
            home.mkdir()
        self.stack = ExitStack()
        self._tools_are_up = False
        self.api = self.stack.enter_context(Api(Credentials(kubectl)))

    def measured(self, text: str) -> None:
        """Have a number told at the end of the run."""
        MEASURED.append(f"{os.environ.get('PYTEST_CURRENT_TEST', '').split(' ')[0]}: {text}")

    # --- in the cluster ---

    def container(self, *ports: Object, **other: Any) -> Object:
        return manifests.container(self.image, *ports, **other)

    def deploy(self, *objects: Object, wait: bool = True) -> None:
        """Create objects and wait until their Deployments answer."""
        self.kubectl.apply(*objects)
        if wait:
            self.kubectl.rolled_out(
                *(f"deployment/{o['metadata']['name']}" for o in objects if o["kind"] == "Deployment")
            )

    def echo(self, replicas: int = 1, **other: Any) -> None:
        """The common setup: Deployment `echo` and Service `echo:80`."""
        self.deploy(manifests.deployment(self.container(**other), replicas=replicas), manifests.service())

    def echo_under_load(self, replicas: int = 1, rate: float = 20, **other: Any) -> Load:
        """The common setup and its callers, whose pod starts beside the app's: they begin once the Service answers."""
        self.kubectl.apply(manifests.load(self.image, "http://echo", rate))
        self.echo(replicas=replicas, **other)
        return self.load(rate=rate)

    def load(self, url: str = "http://echo", rate: float = 20, name: str = "load") -> Load:
        return self.stack.enter_context(Load(self.kubectl, self.image, url, rate, name))

    def tools(self) -> None:
        """A pod to ask from, with `ask`; it starts beside what comes next, and is waited for when it is asked."""
        self.kubectl.apply(manifests.tools(self.image))

    def in_tools(self, *command: str, timeout: float = 120) -> str:
        """What a command prints there."""
        if not self._tools_are_up:
            self.kubectl.ready("pod/tools")
            self._tools_are_up = True
        return self.kubectl("exec", "tools", "--", *command, timeout=timeout)

    def ask(self, module: str, *arguments: object, timeout: float = 120) -> Object:
        """Run one of `programs/` there, and read the one line of JSON it prints."""
        words = ("python3", "-m", f"e2e.programs.{module}", *(str(a) for a in arguments))
        answer: Object = json.loads(self.in_tools(*words, timeout=timeout))
        return answer

    def get(self, url: str, patience: float = 60.0) -> str:
        """Who answers one request from inside the cluster: its status and first word, as "200 LOCAL"."""
        seen: dict[str, int] = self.ask("client", "burst", url, 1, 1, patience)["seen"]
        return next(iter(seen))

    def expect(self, url: str, answer: str, within: float = PATIENCE) -> None:
        """A Service leads to an answer that starts so; a node's proxy learns of a finished rollout a moment after its end.

        Each try is short: a connection that was led to a pod that is gone stays led there.
        """
        deadline = time.monotonic() + within
        while not (seen := self.get(url, 3)).startswith(answer):
            assert time.monotonic() < deadline, f"{url} answers {seen!r}, not {answer!r}"

    def reachable(self, *places: str) -> None:
        """From the app's pod, HOST:PORT each: a node's proxy learns of a Service some time after its pods are ready."""
        self.kubectl.ask("deploy/echo", "python3", "-m", "e2e.programs.client", "reach", *places)

    def without_endpoints(self, service: str, within: float = PATIENCE) -> None:
        """Wait until a Service has heard that its last pod is gone: that comes some time after the pod's end."""
        deadline = time.monotonic() + within
        while left := self.kubectl.json("get", "endpoints", service).get("subsets"):
            assert time.monotonic() < deadline, left
            time.sleep(0.2)

    def pod_address(self) -> str:
        """The one pod of `echo` itself: for a moment after a rollout a Service may still lead to the old one."""
        (pod,) = self.kubectl.pods()
        address: str = pod["status"]["podIP"]
        return address

    def exec(self, pod: str, *command: str, timeout: float = 90) -> str:
        return self.kubectl("exec", pod, "--", *command, timeout=timeout)

    # --- on this machine ---

    def environment(self, **more: str) -> dict[str, str]:
        """A developer's environment: only this cluster, a home and a temporary folder of its own, and our marker."""
        home, temporary = self.homes
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "TERM", "VIRTUAL_ENV", "USER")}
        return {
            **kept, "HOME": str(home), "TMPDIR": str(temporary), "KUBECONFIG": str(self.kubectl.kubeconfig),
            "E2E_RUN": self.namespace, **more,
        }  # fmt: skip

    def run(self, *arguments: str, env: dict[str, str] | None = None) -> Intercept:
        """`interceptor ARGUMENTS`, exactly."""
        return self.stack.enter_context(Intercept(list(arguments), env or self.environment()))

    def intercept(self, *arguments: str, env: dict[str, str] | None = None) -> Intercept:
        """`interceptor intercept -n NAMESPACE -o json ARGUMENTS`."""
        return self.run("intercept", "-n", self.namespace, "-o", "json", *arguments, env=env)

    def started(self, *arguments: str, env: dict[str, str] | None = None, within: float = 120) -> Intercept:
        """The same, once it is ready."""
        running = self.intercept(*arguments, env=env)
        running.wait_for("ready", within)
        return running

    def local(self, word: str = "LOCAL", port: int = 0) -> LocalServer:
        return self.stack.enter_context(local_echo(word, port))

    def server(self, kind: str) -> LocalServer:
        """One of the servers of `programs/streams.py` on this machine."""
        return self.stack.enter_context(LocalServer("streams", "server", kind, str(free_port())))

    def link(self) -> Link:
        return self.stack.enter_context(Link(self.kubectl, self.folder))

    # --- before and after ---

    def fingerprint(self, *, wait: bool = True) -> dict[str, str]:
        """All that stands in the namespace, by default once the cluster has finished what was begun before."""
        if wait:
            return settled(self.api, self.namespace, PATIENCE)
        return fingerprint(self.api, self.namespace)

    def expect_same(self, before: dict[str, str], within: float = PATIENCE, *, history: bool = True) -> float:
        """All objects are as they were; the seconds until then (the cluster's garbage collector takes its time).

        Without `history` a new ReplicaSet may stay: of a client that died before it could name it to the agents.
        """
        started = time.monotonic()

        def now() -> dict[str, str]:
            found = self.fingerprint(wait=False)
            return found if history else without_history(found, before)

        while told := difference(before, now()):
            if time.monotonic() - started > within:
                raise AssertionError(f"left behind after {within:g} s:\n{told}")
            time.sleep(0.3)
        return time.monotonic() - started

    def expect_nothing_here(self, within: float = 60) -> None:
        """No process of the run is left on this machine, and nothing in its temporary folder."""
        deadline = time.monotonic() + within
        while left := marked(self.marker):
            if time.monotonic() > deadline:
                raise AssertionError(f"still running: {left}")
            time.sleep(0.1)
        left_files = list(self.homes[1].iterdir())
        assert not left_files, left_files

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """What happens inside leaves the namespace and this machine as they were."""
        before, here = self.fingerprint(), machine(*self.homes)
        yield
        self.expect_same(before)
        self.expect_nothing_here()
        told = difference(here, machine(*self.homes))
        assert not told, f"left on this machine:\n{told}"


def free_port() -> int:
    """A loopback port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
