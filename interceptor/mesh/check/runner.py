"""Runs categories of checks: all at once, told in order; `session.check` calls it, `cli` prints the rows.

A check that may heal by waiting is judged again until `wait` is over, each time on a fresh view of the cluster, and those
behind it are then judged on that same view: what is told together was true together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from interceptor.errors import InterceptorError
from interceptor.kube import Cluster, Forbidden, NotFound, Unauthorized
from interceptor.mesh.check.facts import Facts
from interceptor.mesh.check.model import Broken, Category, Check, Failed, Row, Unknown, Verdict, row

RETRY_EVERY = 1.0  # Linkerd's 5 s let a short --wait end before the second look

Tell = Callable[[Row], None]
Task = asyncio.Task[Verdict]


async def run(
    cluster: Cluster,
    categories: Sequence[Category],
    tell: Tell,
    *,
    wait: float = 0.0,
    waiting: Callable[[str], None] = lambda _: None,
) -> bool:
    """Judge, tell each row as soon as all before it are told, and return whether no check failed."""
    flat = [(category, check) for category in categories for check in category.checks]
    async with asyncio.TaskGroup() as group:
        facts = Facts(cluster, group)
        judged = [_start(group, check, facts) for _, check in flat]
        deadline = asyncio.get_running_loop().time() + wait
        ended: set[str] = set()
        good = True
        for index, (category, check) in enumerate(flat):
            if category.part in ended or "kubernetes" in ended:
                judged[index].cancel()
                continue
            verdict = await judged[index]
            again = False
            while isinstance(verdict, Failed) and check.retry and asyncio.get_running_loop().time() < deadline:
                waiting(f"{check.sentence}: {verdict.reason}")
                await asyncio.sleep(min(RETRY_EVERY, deadline - asyncio.get_running_loop().time()))
                facts, again = facts.fresh(), True
                verdict = await judge(check, facts)
            if again:
                for later in range(index + 1, len(flat)):
                    if not flat[later][1].once:
                        judged[later].cancel()
                        judged[later] = _start(group, flat[later][1], facts)
            told = row(category, check, verdict)
            if told is not None:
                tell(told)
            if isinstance(verdict, Failed):
                good = good and check.warning
                if check.fatal:
                    ended.add(category.part)
    return good


def _start(group: asyncio.TaskGroup, check: Check, facts: Facts) -> Task:
    return group.create_task(judge(check, facts), name=f"check {check.sentence}")


async def judge(check: Check, facts: Facts) -> Verdict:
    """Ask the check; what the API refuses to tell becomes a verdict too."""
    try:
        return await check.judge(facts)
    except Forbidden as error:
        where = f" in namespace {error.namespace}" if error.namespace else ""
        return Unknown(f"missing right {error.verb} {error.resource}{where}")
    except NotFound as error:
        return Failed(not_found(error))
    except Unauthorized as error:
        return Failed(str(error))
    except Broken as error:
        return Failed(error.message)
    except InterceptorError as error:
        return Unknown(error.message)


def not_found(error: NotFound) -> str:
    """The API server's own sentence, which Linkerd shows as it is: `secrets "x" not found`."""
    call = error.call
    if call.resource is None or not call.name:
        return error.message
    return f'{call.resource.title()} "{call.name}" not found'
