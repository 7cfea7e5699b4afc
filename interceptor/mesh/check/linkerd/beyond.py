"""`interceptor-data-plane`: what Linkerd's own `check --proxy` calls all green, though it isn't; for every namespace.

Warnings, so that the exit status of a script that ran `linkerd check --proxy` stays what it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from interceptor.errors import InterceptorError
from interceptor.kube import Forbidden, resources
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.linkerd import injection, proxy_state
from interceptor.mesh.check.linkerd.proxies import running_proxies
from interceptor.mesh.check.linkerd.scope import Scope
from interceptor.mesh.check.model import SKIPPED, Category, Check, Failed, Passed, Verdict, lines

Object = dict[str, Any]


def category(scope: Scope) -> Category:
    """All of it."""

    async def everywhere(facts: Facts) -> list[tuple[Object | None, list[Object]]]:
        """Each namespace with its pods."""
        if scope.data:
            found = [await facts.find(resources.NAMESPACES, None, scope.data)]
        else:
            found = [*await facts.list(resources.NAMESPACES, None)]
        pods = await facts.list(resources.PODS, scope.data)
        return [
            (item, [pod for pod in pods if item and pod["metadata"]["namespace"] == item["metadata"]["name"]])
            for item in found
        ]

    async def meshed(facts: Facts) -> Verdict:
        lacking = [
            f"* {_place(pod)}"
            for namespace, pods in await everywhere(facts)
            for pod, obstacle in injection.unmeshed(namespace, pods)
            if not obstacle
        ]
        if not lacking:
            return Passed()
        return Failed(
            lines("Some pods have no proxy, although they should:", lacking),
            "what they call and who calls them is neither encrypted nor measured; the injector was down or not trusted",
            "kubectl rollout restart, of the workloads they belong to",
        )

    async def left_out(facts: Facts) -> Verdict:
        odd = []
        for namespace, pods in await everywhere(facts):
            odd += [f"* {_place(pod)}: {text}" for pod, text in injection.unmeshed(namespace, pods) if text]
            odd += [
                f'* {_place(item)}: {injection.INJECT}: "{value}" means nothing'
                for item in [*([namespace] if namespace else []), *pods]
                if (value := injection.misspelt(item))
            ]
        if not odd:
            return Passed()
        return Failed(
            lines("Some pods are left out of the mesh by their own settings:", odd),
            "their annotations ask for a proxy, the injector passes over them",
            f"change the setting, or say that it is meant: {injection.INJECT}: disabled",
        )

    async def asked(
        facts: Facts, problem: Callable[[Object], Awaitable[str]], title: str, why: str, then: str
    ) -> Verdict:
        proxies = await running_proxies(facts, scope)
        if not proxies:
            return SKIPPED
        some = proxy_state.chosen([pod for pod in proxies if pod["spec"].get("nodeName")])
        texts = await at_once(problem, some)
        wrong = [f"* {_place(pod)}: {text}" for pod, text in zip(some, texts, strict=True) if text]
        if wrong:
            return Failed(lines(title, wrong), why, then)
        return Passed(f"asked {len(some)} of {len(proxies)}" if len(some) < len(proxies) else "")

    async def measured(facts: Facts) -> Verdict:
        async def problem(pod: Object) -> str:
            text = await proxy_state.metrics(facts, pod)
            return "" if "\nprocess_start_time_seconds" in text else "its metrics are not a proxy's"

        return await asked(
            facts,
            problem,
            "Some proxies give no metrics:",
            "routes, stat and Prometheus see nothing of them",
            "kubectl logs POD -c linkerd-proxy",
        )

    async def certified(facts: Facts) -> Verdict:
        return await asked(
            facts,
            partial(proxy_state.certificate_problem, facts, scope),
            "Some proxies show a bad certificate:",
            "meshed callers refuse them, or are refused",
            "kubectl rollout restart, of the workloads they belong to",
        )

    async def connected(facts: Facts) -> Verdict:
        return await asked(
            facts,
            partial(proxy_state.control_problem, facts),
            "Some proxies have lost their control plane:",
            "what they know goes on working; new names hang, and replaced pods answer 503",
            f"kubectl get pods -n {scope.namespace} -l linkerd.io/control-plane-component=destination",
        )

    return Category(
        "interceptor-data-plane",
        (
            Check("pods that should have a proxy have one", meshed, warning=True),
            Check("no pod is left out of the mesh by mistake", left_out, warning=True),
            Check("data plane metrics are present", measured, warning=True),
            Check("data plane proxies show a valid certificate", certified, warning=True),
            Check("data plane proxies reach the control plane", connected, warning=True),
        ),
        "own",
    )


async def at_once(
    problem: Callable[[Object], Awaitable[str]], items: list[Object], *, silence: bool = True
) -> list[str]:
    """Ask about every item at the same time; a missing right is raised.

    An answer that doesn't come is a problem too, unless `silence` says that it is not one here.
    """

    async def asked(item: Object) -> str | Forbidden:
        try:
            return await problem(item)
        except Forbidden as error:
            return error
        except InterceptorError as error:
            return error.message if silence else ""

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(asked(item), name=f"ask {_place(item)}") for item in items]
    texts = []
    for task in tasks:
        text = task.result()
        if isinstance(text, Forbidden):
            raise text
        texts.append(text)
    return texts


def _place(item: Object) -> str:
    metadata = item["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}" if "namespace" in metadata else f"namespace {metadata['name']}"
