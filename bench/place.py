"""Where it is measured: a namespace with `be` and `lg` in pods, `be` on this machine, kubectl and the intercept beside.

`run` opens one Place; `measure` asks it. Everything in it ends with it, by process id.
"""

import compileall
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.floor import Floor
from e2e import manifests
from e2e.cluster import Cluster, run
from e2e.intercept import Intercept
from e2e.kubectl import Kubectl, Object
from e2e.process import Process
from e2e.scene import free_port

HERE = Path(__file__).resolve().parent
SLEEP = ("python3", "-c", "import signal; signal.signal(15, lambda *_: exit(0)); signal.pause()")
NUMBERS = re.compile(r"([A-Za-z0-9]+) (-?[\d.]+)")


def parse(line: str) -> dict[str, float]:
    """`rps 5 p50us 20.0 ...` as a dict."""
    return {name: float(value) for name, value in NUMBERS.findall(line)}


class Place:
    """The set-up of one run."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        self.cluster = Cluster.up()
        self.namespace = f"bench-{secrets.token_hex(2)}"
        self.kubectl = Kubectl(self.cluster.kubeconfig, self.namespace)

    def __enter__(self) -> Self:
        # As an installer leaves it: a module edited since would be compiled at each start, where no bytecode is written.
        compileall.compile_dir(HERE.parent / "interceptor", quiet=1)
        for program in ("lg", "be"):
            run("gcc", "-O2", "-static", "-o", self.folder / program, HERE / f"{program}.c")
        base = self.cluster.python_image
        (self.folder / "Dockerfile").write_text(f"FROM {base}\nCOPY lg be /usr/local/bin/\n")
        self.image = self.cluster.image("interceptor/bench", self.folder)
        self.kubectl("create", "namespace", self.namespace)
        self._stack.callback(self.kubectl, "delete", "namespace", self.namespace, "--wait=false")
        app: Object = {
            "name": "app", "image": self.image, "imagePullPolicy": "IfNotPresent", "command": ["be", "8080", "0.0.0.0"],
            "ports": [{"containerPort": 8080}],
            "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        }  # fmt: skip
        self.kubectl.apply(
            manifests.deployment(app, name="target"),
            manifests.service("target", 8080, app="target"),
            manifests.pod("be", self.image, "be", "8080", "0.0.0.0"),
            manifests.pod("lg", self.image, *SLEEP),
        )
        self.kubectl.rolled_out("deployment/target")
        for pod in ("be", "lg"):
            self.kubectl.ready(f"pod/{pod}")
        self.service = self.kubectl.json("get", "service/target")["spec"]["clusterIP"]
        self.backend = self.kubectl.json("get", "pod/be")["status"]["podIP"]
        config = json.loads(self.kubectl("config", "view", "--raw", "--flatten", "--minify", "-o", "json"))
        self.floor = Floor(config, self.namespace, "be", 8080)
        self.local_port = free_port()
        self._stack.enter_context(Process([str(self.folder / "be"), str(self.local_port)]))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self.cluster.down()

    def add_volume(self) -> None:
        """Give the Deployment a volume at /data."""
        container = {"name": "app", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
        pod = {"volumes": [{"name": "data", "emptyDir": {}}], "containers": [container]}
        patch = json.dumps({"spec": {"template": {"spec": pod}}})
        self.kubectl("patch", "deployment/target", "--type=strategic", "-p", patch)
        self.kubectl.rolled_out("deployment/target")

    # --- the three ways ---

    def forward(self) -> int:
        """A `kubectl port-forward` to `be` in its pod; its port on loopback."""
        port = free_port()
        forward = self._stack.enter_context(Process([*self.kubectl.argv, "port-forward", "pod/be", f"{port}:8080"]))
        forward.wait_line(lambda line: line.text.startswith("Forwarding from 127.0.0.1"), 20, "port-forward")
        return port

    def rollout(self) -> float:
        """Seconds of a plain rollout of the Deployment."""
        started = time.monotonic()
        self.kubectl("rollout", "restart", "deployment/target")
        self.kubectl.rolled_out("deployment/target")
        return time.monotonic() - started

    def intercept(self, name: str = "target", /, **variables: str) -> Intercept:
        """Our command, ready: the Deployment's Service leads to `be` on this machine."""
        env = {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig), **variables}
        arguments = [
            "intercept",
            f"deploy/{name}",
            "-n",
            self.namespace,
            "-o",
            "json",
            "--port",
            f"{self.local_port}:8080",
        ]
        started = Intercept(arguments, env)
        self._stack.enter_context(started)
        started.wait_for("ready", 90)
        return started

    # --- lg ---

    def lg_here(self, *arguments: object, timeout: float = 120) -> dict[str, float]:
        """`lg` on this machine, against loopback."""
        with Process([str(self.folder / "lg"), *map(str, arguments)]) as load:
            load.wait(timeout)
            return {**parse(load.text("stdout")), **failures(load.text("stderr"))}

    def lg_process(self, host: str, *arguments: object) -> Process:
        """`lg` in its pod against a host of the cluster, running."""
        words = ("exec", "-i", "lg", "--", "env", f"LGHOST={host}", "lg", *map(str, arguments))
        return Process([*self.kubectl.argv, *words], stdin=subprocess.PIPE)

    def lg_pod(self, host: str, *arguments: object, timeout: float = 120) -> dict[str, float]:
        """The same, to its end."""
        with self.lg_process(host, *arguments) as load:
            load.wait(timeout)
            return {**parse(load.text("stdout")), **failures(load.text("stderr"))}

    # --- memory ---

    def agent_memory(self) -> tuple[float, float]:
        """PSS and RSS of the agent in KB, as its own kernel tells it inside the pod."""
        (pod,) = self.kubectl.pods("app=target")
        text = self.kubectl("exec", pod["metadata"]["name"], "-c", "app", "--", "cat", "/proc/1/smaps_rollup")
        return smaps(text)

    def say(self, text: str) -> None:
        print(f"  {text}", file=sys.stderr, flush=True)


def smaps(text: str) -> tuple[float, float]:
    """PSS and RSS in KB of a `smaps_rollup`."""
    sizes = {name: float(value) for name, value in re.findall(r"^(\w+): +(\d+) kB", text, re.MULTILINE)}
    return sizes["Pss"], sizes["Rss"]


def memory(pid: int) -> tuple[float, float]:
    """The same of a process on this machine."""
    return smaps(Path(f"/proc/{pid}/smaps_rollup").read_text())


def failures(stderr: str) -> dict[str, float]:
    """How many connections `lg` says failed, and whether it saw wrong bytes."""
    found = re.search(r"lg: (\d+) failed", stderr)
    return {
        "failed": float(found[1]) if found else 0.0,
        "corrupt": float("CORRUPT" in stderr),
        "closed": float("peer closed" in stderr),
    }
