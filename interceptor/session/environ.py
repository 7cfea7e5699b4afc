"""A container's environment without touching the workload: `cli.env` prints it."""

from __future__ import annotations

from interceptor.errors import InterceptorError
from interceptor.session.access import open_cluster
from interceptor.session.container import without
from interceptor.session.options import Access
from interceptor.workload import target
from interceptor.workload.beside import original
from interceptor.workload.inspect import inspect
from interceptor.workload.kinds import ref_of, title_of


async def environ_of(wanted: str, container: str | None, exclude: tuple[str, ...], access: Access) -> dict[str, str]:
    """The variables as processes of the container see them. Raises InterceptorError."""
    async with open_cluster(access) as cluster:
        workload = original(await target.resolve(cluster, cluster.namespace, wanted))
        chosen = target.choose_container(workload, container)
        facts = await inspect(cluster, ref_of(workload, cluster.namespace), workload, chosen)
    if facts.environ is None:
        raise InterceptorError(
            f"the environment of {title_of(workload)} can't be told: {facts.reason}",
            hint=f"a pod of its own tells most of it: interceptor run {wanted} --env-file FILE.json -- true",
        )
    return without(facts.environ, exclude)
