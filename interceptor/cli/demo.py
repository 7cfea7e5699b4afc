"""`interceptor demo`: an intercept told as a story, on a cluster made for it or (`--cluster`) on the current context.

Nothing is pretended: the client is the real one, started as a person would, and each claim is checked before it is made.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click

from interceptor.cli.demo_stage import Client, Object, Stage, Visits, free_port, fresh_namespace, run_client
from interceptor.cli.demo_words import HERE, Words
from interceptor.cli.options import verbose_option
from interceptor.errors import InterceptorError

_IMAGE = "python:3.13-slim"
_HEAL = 60.0


@click.command(short_help="See an intercept happen, in a small cluster made for it.")
@click.option("--keep", is_flag=True, help="Leave the cluster up afterwards, with a KUBECONFIG to play with.")
@click.option("--cluster", is_flag=True, help="Play on the current context instead, in a namespace of its own.")
@click.option(
    "--image", metavar="IMAGE", default=_IMAGE, show_default=True, help="With --cluster: an image with Python."
)
@verbose_option
def demo(*, keep: bool, cluster: bool, image: str) -> int:
    """Show a request served in a cluster, then on this machine, then, after kill -9, in the cluster again.

    Needs no cluster, no root and no Docker, takes a quarter of a minute and leaves nothing.
    """
    from interceptor.cli.report import open_teller
    from interceptor.cli.running import run

    with open_teller("text") as teller:

        def begin() -> Coroutine[Any, Any, int]:
            return tell(keep=keep, cluster=cluster, image=image)

        return run(begin, teller)


async def tell(*, keep: bool, cluster: bool, image: str = _IMAGE) -> int:
    """Tell the story from start to end."""
    words, began = Words(), time.monotonic()
    opened = _on_context(words, image, keep=keep) if cluster else _on_dev_cluster(words, image)
    async with opened as (stage, arguments, environment):
        await _open_shop(words, stage)
        before = await stage.orders()
        port = free_port(8080)
        command = _client_arguments(stage, port)
        async with run_client([*command[:1], *arguments, *command[1:]], environment) as client:
            await _intercept(words, stage, client, port)
            await _kill(words, stage, client, before)
        words.end(f"That was all, in {time.monotonic() - began:.0f} s.")
        if keep:
            await _keep(words, stage, environment, cluster=cluster)
    if not keep:
        words.say("Nothing is left of it. On a cluster of yours, this shows what would change, and changes nothing:")
        words.shell("interceptor intercept deploy/NAME --dry-run")
    return 0


Opened = AsyncIterator[tuple[Stage, list[str], dict[str, str]]]


@asynccontextmanager
async def _on_dev_cluster(words: Words, image: str) -> Opened:
    """Start the embedded cluster for as long as the story lasts."""
    words.chapter("A cluster, made for this")
    from interceptor.devcluster.cluster import DevCluster
    from interceptor.kube import Cluster, load_access

    with tempfile.TemporaryDirectory(prefix="interceptor-demo-") as folder:
        async with DevCluster(Path(folder)) as dev, Cluster(load_access(str(dev.kubeconfig))) as cluster:
            words.took("An API server, controllers and a node are up.")
            words.say(
                "All of it lives in this program and its pods are plain processes: no root, no Docker, nothing installed."
            )
            yield Stage(cluster, "shop", image), [], {"KUBECONFIG": str(dev.kubeconfig)}


@asynccontextmanager
async def _on_context(words: Words, image: str, *, keep: bool) -> Opened:
    """Take a namespace on the current context, and give it back at the end, whatever happened."""
    from interceptor.kube import Cluster, load_access

    access = load_access()
    async with Cluster(access) as cluster:
        words.chapter(f"Your cluster, {access.context}")
        stage = Stage(cluster, fresh_namespace(), image)
        words.say(f"Everything happens in a namespace of its own, {stage.namespace}.")
        done = False
        try:
            yield stage, ["--context", access.context], {}
            done = True
        finally:
            if not (keep and done):
                await stage.clear()


async def _open_shop(words: Words, stage: Stage) -> None:
    words.chapter("A shop of three services: web asks orders, orders asks prices")
    await stage.build()
    words.took("Three Deployments are running.")
    words.say("A customer, inside the cluster, asks for tea:")
    answer = await stage.visit()
    _check(
        all(hop["where"].startswith("pod ") for hop in answer["path"]), "not every service was served in the cluster"
    )
    words.answer(answer)


def _client_arguments(stage: Stage, port: int) -> list[str]:
    from interceptor.devcluster import shopfront

    local = [
        sys.executable,
        str(shopfront.PROGRAM),
        "orders",
        "--draft",
        "--bind",
        "127.0.0.1",
        "--port",
        str(port),
        "--where",
        HERE,
    ]
    published = f"{port}:{shopfront.PORT}"
    return [
        "intercept",
        "deploy/orders",
        "--namespace",
        stage.namespace,
        "--port",
        published,
        "-o",
        "json",
        "--",
        *local,
    ]


async def _intercept(words: Words, stage: Stage, client: Client, port: int) -> None:
    words.chapter("You are changing orders, and want to try your draft with the real callers")
    published = "8080" if port == 8080 else f"{port}:8080"
    words.shell(f"interceptor intercept deploy/orders --port {published} -- python shop.py orders --draft")
    await client.until_ready(words.event)
    words.say("The same customer asks again:")
    answer, _ = await stage.visit_until(lambda found: _served(found, "orders") == HERE, within=10.0)
    _check(
        _served(answer, "prices").startswith("pod "), "the process on this machine did not reach prices in the cluster"
    )
    words.answer(answer)
    words.say(
        "The pod of orders now runs a small agent. It passes each request through a tunnel to the process on your"
    )
    words.say("machine; and when that process asked for prices, the question went back the same way, into the cluster.")


async def _kill(words: Words, stage: Stage, client: Client, before: Object) -> None:
    words.chapter("Now the worst: the interceptor is killed, and can clean up nothing")
    words.shell(f"kill -9 {client.process.pid}")
    await client.kill()
    words.say(
        "Nobody on this machine can repair orders any more. But the agent in the pod notices, and does. The customer"
    )
    words.say("keeps asking meanwhile:")
    answer, visits = await stage.visit_until(lambda found: _served(found, "orders").startswith("pod "), within=_HEAL)
    words.answer(answer)
    words.took(f"The cluster serves orders again. {_spell(visits)}")
    left = await stage.leftovers()
    _check(not left, f"left over: {', '.join(left)}")
    _check(await stage.orders() == before, "deploy/orders is not as it was")
    words.say("deploy/orders is exactly as it was before; of the session, nothing is left in the cluster.")


async def _keep(words: Words, stage: Stage, environment: dict[str, str], *, cluster: bool) -> None:
    from interceptor.devcluster import shopfront

    words.say("It stays up. To play with it, in another terminal:" if not cluster else "The shop stays up:")
    if environment:
        words.shell(f"export KUBECONFIG={environment['KUBECONFIG']}")
    words.shell(f"kubectl -n {stage.namespace} get pods")
    words.shell(
        f"interceptor intercept deploy/orders -n {stage.namespace} -p 8080 -- "
        f"python {shopfront.PROGRAM} orders --draft --bind 127.0.0.1"
    )
    words.shell(f"kubectl -n {stage.namespace} exec deploy/web -- python3 {shopfront.PATH_IN_POD} visit")
    if cluster:
        words.say("To remove it:")
        words.shell(f"kubectl delete namespace {stage.namespace}")
        return
    words.say("Ctrl-C here ends it and removes everything.")
    await asyncio.Event().wait()


def _served(answer: Object, service: str) -> str:
    return next((str(hop["where"]) for hop in answer["path"] if hop["service"] == service), "")


def _spell(visits: Visits) -> str:
    failed = f"{len(visits.failed)} failed ({visits.failed[0]})" if visits.failed else "none failed"
    return f"Of {visits.made} requests meanwhile {failed}, the longest waited {visits.longest:.1f} s."


def _check(holds: bool, problem: str) -> None:
    if not holds:
        raise InterceptorError(
            f"the demo did not go as it should: {problem}", hint="please report it, with the output of -v"
        )
