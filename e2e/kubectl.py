"""kubectl as the scenarios use it: independent eyes on the cluster; `conftest` hands out one per namespace."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Object = dict[str, Any]
# What a busy API server's callers hear, and what may then be asked again, since asked twice it is as asked once.
PASSING = (
    "TLS handshake timeout",
    "connection refused",
    "etcdserver: request timed out",
    "i/o timeout",
    "connection reset",
)
AGAIN = ("apply", "cordon", "get", "label", "patch", "rollout", "scale", "uncordon", "wait")
TRIES = 3


def program() -> str | None:
    """kubectl beside this Python (the test dependency), else on PATH."""
    beside = Path(sys.executable).with_name("kubectl")
    return str(beside) if beside.exists() else shutil.which("kubectl")


class Kubectl:
    """Commands against one cluster and namespace; a failed one raises with what kubectl said."""

    def __init__(self, kubeconfig: Path, namespace: str = "default") -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace
        self.argv = [program() or "kubectl", "--kubeconfig", str(kubeconfig), "--namespace", namespace]

    def __call__(self, *arguments: str, stdin: str | None = None, timeout: float = 90, check: bool = True) -> str:
        for _ in range(TRIES):
            done = subprocess.run(
                [*self.argv, *arguments], input=stdin, text=True, capture_output=True, timeout=timeout, check=False
            )
            passing = arguments[0] in AGAIN and any(words in done.stderr for words in PASSING)
            if not (check and done.returncode and passing):
                break
        if check and done.returncode:
            raise AssertionError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def json(self, *arguments: str) -> Object:
        found: Object = json.loads(self(*arguments, "-o", "json"))
        return found

    def items(self, kinds: str, *arguments: str) -> list[Object]:
        found: list[Object] = self.json("get", kinds, *arguments)["items"]
        return found

    def apply(self, *objects: Object) -> None:
        self("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}))

    def patch(self, what: str, patch: Object) -> None:
        self("patch", what, "--type=merge", "-p", json.dumps(patch))

    def rolled_out(self, *workloads: str, timeout: float = 120) -> None:
        for workload in workloads:
            self("rollout", "status", workload, f"--timeout={timeout:g}s", timeout=timeout + 10)

    def ready(self, pod: str, timeout: float = 120) -> None:
        self("wait", "--for=condition=Ready", pod, f"--timeout={timeout:g}s", timeout=timeout + 10)

    def ask(self, pod: str, *command: str, timeout: float = 120) -> Object:
        """Run a program in a pod and read the one line of JSON it prints."""
        answer: Object = json.loads(self("exec", pod, "--", *command, timeout=timeout))
        return answer

    def pods(self, selector: str = "app=echo") -> list[Object]:
        """The pods of a workload that are not on their way out."""
        return [p for p in self.items("pods", "-l", selector) if "deletionTimestamp" not in p["metadata"]]

    def restarts(self, selector: str = "app=echo") -> int:
        return sum(s["restartCount"] for p in self.pods(selector) for s in p["status"].get("containerStatuses", ()))


def words(argv: Sequence[str]) -> str:
    """A command line for messages."""
    return " ".join(argv)
