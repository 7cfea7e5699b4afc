"""The category `interceptor`: whether this client can do its work here; `session.check` puts it behind the mesh's.

Rights, images, what dead sessions left, clocks, the way into pods, and this machine.
"""

from __future__ import annotations

import asyncio
import datetime
import re
from functools import partial
from typing import Any

from interceptor import __version__
from interceptor.kube import Forbidden, resources
from interceptor.mesh import proxy_http
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd.scope import NODES
from interceptor.mesh.check.model import PASSED, SKIPPED, Category, Check, Failed, Passed, Unknown, Verdict
from interceptor.mesh.podstatus import pod_status
from interceptor.sandbox import doctor
from interceptor.session import holdings
from interceptor.session.plan import PUBLIC_IMAGE
from interceptor.workload import rights
from interceptor.workload.allowed import allows, missing, rules_of
from interceptor.workload.kinds import POD
from interceptor.workload.objects import OURS, VERSION_ANNOTATION

Object = dict[str, Any]

MOST_DIFFERENCE = 30.0  # seconds: more, and tokens and certificates begin to fail
LISTEN = 1.5  # seconds for a holder's sign of life: a client renews every second
_MAKING = 10.0  # seconds to make a sandbox: usually tenths
_BULK = 8  # answers asked for at once, to see how fast bytes come
_ENOUGH = 256 * 1024  # bytes below which a speed says nothing


def category(*, machine: bool = True) -> Category:
    """All of it, for the client's own namespace; `machine` also tries what this machine allows, which takes longest."""
    local = (Check("the local sandbox is possible", _sandbox, warning=True, once=True),) if machine else ()
    return Category(
        "interceptor",
        (
            Check("you may intercept, restore and list", _may_intercept, warning=True),
            Check("you may look into proxies and attach debug containers", _may_debug, warning=True),
            Check("agent image is reachable", _image, warning=True),
            Check("no session has left anything behind", _leftovers, warning=True, once=True),
            Check("no agent is newer than this client", _newer, warning=True),
            Check("clocks of cluster and client agree", _clock, warning=True),
            Check("port-forward works", _port_forward, once=True),
            *local,
        ),
        "own",
    )


async def _may_intercept(facts: Facts) -> Verdict:
    needed = [right for right in rights.everything() if right.required]
    return await _rights(facts, needed, "interceptor rbac")


async def _may_debug(facts: Facts) -> Verdict:
    needed = [
        *(rights.Right(verb, resources.PODS, "portforward") for verb in ("get", "create")),
        rights.Right("get", resources.PODS, "log"),
        *(right for right in rights.needed_to_debug(POD) if right.required),
    ]
    return await _rights(facts, needed, "interceptor rbac")


async def _rights(facts: Facts, needed: list[rights.Right], then: str) -> Verdict:
    cluster = facts.cluster
    rules = await facts.once(("rules", cluster.namespace), partial(rules_of, cluster, cluster.namespace))
    if rules is None:
        lacking = await missing(cluster, cluster.namespace, needed)
    else:
        lacking = [right for right in needed if not any(allows(rule, right) for rule in rules)]
    if not lacking:
        return Passed(f"in namespace {cluster.namespace}")
    return Failed(
        f"missing in namespace {cluster.namespace}: {', '.join(map(str, lacking))}",
        "the command stops before it changes anything, and says the same",
        f"{then} -n {cluster.namespace}",
    )


async def _image(facts: Facts) -> Verdict:
    """On a node already, or refused lately; else only a pod could tell."""
    wanted = PUBLIC_IMAGE
    for event in await facts.list(resources.EVENTS, facts.cluster.namespace):
        text = str(event.get("message") or "")
        if event.get("type") == "Warning" and wanted in text and "pull" in text.lower():
            return Failed(
                f"a pod could not pull {wanted}: {text.partition(': ')[2] or text}",
                "an app without Python gets its agent from this image",
                "name one that the cluster can pull: interceptor intercept ... --agent-image IMAGE",
            )
    try:
        nodes = await facts.list(NODES, None)
    except Forbidden:
        return SKIPPED
    names = [
        name for node in nodes for image in node["status"].get("images") or [] for name in image.get("names") or []
    ]
    found = any(name == wanted or name.endswith("/" + wanted) for name in names)
    return Passed(f"{wanted} is on a node") if found else SKIPPED


async def _leftovers(facts: Facts) -> Verdict:
    found = await facts.once(
        ("holdings",), lambda: holdings.find(facts.cluster, facts.cluster.namespace, within=LISTEN)
    )
    left = [session for session in found.sessions if session.state in ("leftover", "silent")]
    if left:
        return Failed(
            "\n\t".join(
                ["left in the cluster:", *(f"* {item.workload}: {item.leftover or item.state}" for item in left)]
            ),
            "its pods may still run an agent that nobody answers for",
            f"interceptor list -n {facts.cluster.namespace}, then interceptor restore",
        )
    if found.unknown:
        return Unknown(f"missing right list {', '.join(found.unknown)}")
    return PASSED


async def _newer(facts: Facts) -> Verdict:
    ours = _numbers(__version__)
    newer = []
    for job in await facts.list(resources.JOBS, facts.cluster.namespace, OURS):
        theirs = (job["metadata"].get("annotations") or {}).get(VERSION_ANNOTATION, "")
        if _numbers(theirs) > ours:
            newer.append(f"* {job['metadata']['name']}: {theirs}")
    if not newer:
        return PASSED
    return Failed(
        "\n\t".join([f"this client is {__version__}, but in the cluster there is:", *newer]),
        "what a newer client wrote down this one may not be able to restore",
        "update this client: pipx upgrade interceptor",
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


async def _clock(facts: Facts) -> Verdict:
    before = datetime.datetime.now(datetime.UTC)
    theirs = await facts.cluster.clock()
    after = datetime.datetime.now(datetime.UTC)
    # The stamp was made between the two, and has lost its fraction of a second.
    early = (before - theirs).total_seconds() - 1
    late = (theirs - after).total_seconds()
    apart = max(0.0, early, late)
    if apart <= MOST_DIFFERENCE:
        return Passed("less than a second apart" if not apart else f"{apart:.0f} s apart")
    word = "ahead of" if early > late else "behind"
    return Failed(
        f"this machine's clock is {apart:.0f} s {word} the cluster's",
        "tokens and certificates seem expired, or not valid yet",
        "set the clock: timedatectl set-ntp true",
    )


async def _port_forward(facts: Facts) -> Verdict:
    """Into a pod that is ready, and out of a proxy's metrics as many bytes as there are."""
    cluster = facts.cluster
    pods = [pod for pod in await facts.list(resources.PODS, cluster.namespace) if pod_status(pod) == "Running"]
    ports = sorted(
        ((port, pod) for pod in pods if (port := _port(pod))), key=lambda found: found[0] != proxy_http.ADMIN_PORT
    )
    if not ports:
        return SKIPPED
    port, pod = ports[0]
    loop = asyncio.get_running_loop()
    place = (cluster, cluster.namespace, pod["metadata"]["name"])
    began = loop.time()
    async with proxy_http.open_pipe(*place, port):
        detail = f"{(loop.time() - began) * 1000:.0f} ms"
    if port == proxy_http.ADMIN_PORT:
        size = len((await proxy_http.ask(*place, "/metrics")).body)
        if size * _BULK >= _ENOUGH:
            async with proxy_http.open_pipe(*place, port) as pipe:
                began, count = loop.time(), 0
                await pipe.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n" * _BULK)
                while count < size * _BULK and (data := await pipe.receive()):
                    count += len(data)
                detail += f", {count / (loop.time() - began) / 1e6:.0f} MB/s"
    return Passed(detail)


def _port(pod: Object) -> int:
    """A port of a pod that somebody listens on, 0 where none is declared."""
    declared = [
        port["containerPort"]
        for container in [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
        for port in container.get("ports") or []
        if port.get("protocol", "TCP") == "TCP"
    ]
    if not (pod["status"].get("podIP") and pod["spec"].get("nodeName")):
        return 0
    return proxy_http.ADMIN_PORT if proxy_http.ADMIN_PORT in declared else next(iter(declared), 0)


async def _sandbox(facts: Facts) -> Verdict:
    """What `interceptor doctor` finds, in one line."""
    report = await facts.once(("sandbox",), doctor.examine, within=_MAKING)
    if report.mode == "namespace":
        return Passed(f"volumes by {report.volumes}")
    lacking = [finding for finding in report.findings if finding.state == "lacking"]
    return Failed(
        "; ".join(finding.text for finding in lacking) or "this machine allows no namespaces",
        "COMMAND reaches the cluster through proxy variables only, and sees none of the pod's files",
        next((finding.hint for finding in lacking if finding.hint), "interceptor doctor"),
    )
