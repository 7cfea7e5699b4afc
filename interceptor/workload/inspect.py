"""What the running container can tell about itself: its Python, and its environment as processes there see it.

`session` calls it once before the swap, while the app's own image still runs. A container without Python or a shell, or
a user without `pods/exec`, is no error: then the agent brings an image, and the environment is read from the template.
"""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interceptor.kube.errors import ApiError, ExecFailed, Forbidden
from interceptor.workload.kinds import WorkloadRef
from interceptor.workload.podlist import list_pods

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from interceptor.kube import Cluster

Object = dict[str, Any]

OLDEST_PYTHON = (3, 10)
_SECONDS = 10.0  # for one command; a container short of CPU takes a while to start Python
_SECONDS_FOR_ALL = 25.0
# A name is looked up in the container's own PATH. The places after it are where images keep a Python beside the PATH.
_PYTHONS = (
    "python3",
    "python",
    "/usr/local/bin/python3",
    "/usr/bin/python3",
    "/opt/venv/bin/python",
    "/app/.venv/bin/python",
    "/venv/bin/python",
)
# The environment comes from /proc because Python itself may have added LC_CTYPE to its own (PEP 538).
_ASK_PYTHON = """
import sys
facts = {"version": list(sys.version_info[:2]), "executable": sys.executable}
import base64, json, os
try:
    environ = open("/proc/self/environ", "rb").read()
except OSError:
    environ = b"".join(k + b"=" + v + b"\\0" for k, v in os.environb.items())
facts["environ"] = base64.b64encode(environ).decode()
try:
    import select, socket, ssl, threading
    select.epoll
    facts["lacks"] = "" if ssl.HAS_TLSv1_3 else "TLS 1.3"
except (ImportError, AttributeError) as error:
    facts["lacks"] = str(error)
try:
    if os.stat("/proc/1").st_uid != os.geteuid():
        raise OSError("an entrypoint that changes its user")
    argv = open("/proc/1/cmdline", "rb").read().split(b"\\0")[:-1]
    first = {"argv": [os.fsdecode(word) for word in argv], "cwd": os.readlink("/proc/1/cwd")}
    first["environ"] = base64.b64encode(open("/proc/1/environ", "rb").read()).decode()
    facts["first"] = first
except OSError:
    facts["first"] = None
print(json.dumps(facts))
"""
_ASK_OTHERS = (["cat", "/proc/self/environ"], ["env", "-0"], ["/bin/busybox", "env", "-0"])


@dataclass(frozen=True)
class FirstProcess:
    """Process 1 of the container: what it was last executed with, and where it is."""

    argv: tuple[str, ...]
    cwd: str
    environ: dict[str, str]


@dataclass(frozen=True)
class PodFacts:
    """`python` is an absolute path in the container, None where the agent can't run in it; `reason` says why not.

    `environ` is None where nothing could tell it. Bytes that are no UTF-8 are kept as surrogates, as in os.environ.
    """

    python: str | None
    environ: dict[str, str] | None
    reason: str = ""
    pod: str = ""
    asked: bool = False  # programs could be started in it, if it has them: what is missing is missing
    first: FirstProcess | None = None  # None where it runs as somebody else, or was not asked


async def inspect(
    cluster: Cluster,
    ref: WorkloadRef,
    workload: Object,
    container: str,
    *,
    listed: Awaitable[list[Object]] | None = None,
) -> PodFacts:
    """Ask one pod that runs what the template says; `listed` are the workload's pods, where they are being read anyway."""
    namespace = ref.namespace
    pods = await (listed if listed is not None else list_pods(cluster, ref, workload))
    pod = choose_pod(pods, workload, container)
    if pod is None:
        return PodFacts(None, None, "no pod of it is running")
    name: str = pod["metadata"]["name"]
    try:
        async with asyncio.timeout(_SECONDS_FOR_ALL):
            return await _ask(cluster, namespace, name, container)
    except TimeoutError:
        return PodFacts(None, None, "its container did not answer in time", name)
    except Forbidden:
        return PodFacts(None, None, "you may not exec into its pods", name)
    except (ExecFailed, ApiError) as error:
        return PodFacts(None, None, error.message, name)


def choose_pod(pods: list[Object], workload: Object, container: str) -> Object | None:
    """A ready pod that is not going away, of the current template where there is one."""

    def runs(pod: Object) -> bool:
        statuses = (pod.get("status") or {}).get("containerStatuses") or []
        return "deletionTimestamp" not in pod["metadata"] and any(
            status["name"] == container and "running" in (status.get("state") or {}) for status in statuses
        )

    def rank(pod: Object) -> tuple[bool, bool]:
        image = next((c["image"] for c in pod["spec"]["containers"] if c["name"] == container), None)
        wanted = [c["image"] for c in workload["spec"]["template"]["spec"]["containers"] if c["name"] == container]
        conditions = (pod.get("status") or {}).get("conditions") or []
        ready = any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)
        return image in wanted, ready

    return max(filter(runs, pods), key=rank, default=None)


async def _ask(cluster: Cluster, namespace: str, pod: str, container: str) -> PodFacts:
    environ: dict[str, str] | None = None
    reason = "it has no Python"
    for python in _PYTHONS:
        output = await _output(cluster, namespace, pod, container, [python, "-I", "-c", _ASK_PYTHON])
        facts = _facts(output)
        if facts is None:
            continue
        environ = parse_environ(base64.b64decode(facts["environ"]))
        version = tuple(facts["version"])
        if version < OLDEST_PYTHON:
            reason = f"its Python is {version[0]}.{version[1]}, the agent needs 3.10"
        elif facts["lacks"]:
            reason = f"its Python lacks {facts['lacks']}"
        elif not facts["executable"].startswith("/"):
            reason = "its Python does not know where it is"
        else:
            return PodFacts(facts["executable"], environ, "", pod, asked=True, first=_first(facts.get("first")))
    if environ is None:
        for command in _ASK_OTHERS:
            output = await _output(cluster, namespace, pod, container, command)
            if output:
                environ = parse_environ(output)
                break
        else:
            reason += ", and nothing that prints its environment"
    return PodFacts(None, environ, reason, pod, asked=True)


def _first(found: Object | None) -> FirstProcess | None:
    if found is None:
        return None
    return FirstProcess(tuple(found["argv"]), found["cwd"], parse_environ(base64.b64decode(found["environ"])))


async def _output(cluster: Cluster, namespace: str, pod: str, container: str, command: list[str]) -> bytes:
    """What a command printed, empty where it could not be started or failed."""
    try:
        result = await cluster.exec(namespace, pod, container, command, timeout=_SECONDS)
    except ExecFailed:
        return b""  # no such program in this container
    return result.stdout if result.exit_code == 0 else b""


def _facts(output: bytes) -> Object | None:
    """The script's answer; a program that merely calls itself python gives none."""
    try:
        facts = json.loads(output)
    except ValueError:
        return None
    wanted = {"version", "executable", "environ", "lacks"}
    return facts if isinstance(facts, dict) and wanted <= facts.keys() else None


def parse_environ(block: bytes) -> dict[str, str]:
    """An environment as the kernel keeps it. A name that comes twice has its first value, as getenv says."""
    environ: dict[str, str] = {}
    for entry in block.split(b"\0"):
        name, equals, value = entry.partition(b"=")
        if equals and name:
            environ.setdefault(name.decode("utf-8", "surrogateescape"), value.decode("utf-8", "surrogateescape"))
    return environ
