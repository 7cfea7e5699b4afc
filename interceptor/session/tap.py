"""Follows a workload's requests from another terminal; `cli.tap` calls `follow` and prints.

Of an intercepted workload: its client sees every request anyway; this asks it over its control socket. Of another one:
`viztap` where Linkerd's viz sees it, or `attach`. The cluster is asked only for what it alone knows: which workload is
meant, and whose pods the callers' addresses are.
"""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field

from interceptor.errors import InterceptorError
from interceptor.kube import NotFound
from interceptor.kube.resources import LEASES
from interceptor.mesh.callers import Caller, Callers
from interceptor.mesh.traffic.filters import Filter
from interceptor.mesh.traffic.record import INBOUND, Record
from interceptor.mesh.traffic.sockets import Running, connect, running
from interceptor.session.access import open_cluster, ref_for
from interceptor.session.attach import attach
from interceptor.session.events import Teller
from interceptor.session.options import Access
from interceptor.session.reading import Attached
from interceptor.session.viztap import DEFAULT_RPS, VizOptions, follow_viz, look
from interceptor.workload.kinds import WorkloadRef
from interceptor.workload.life import holder_of
from interceptor.workload.names import lease_name


@dataclass(frozen=True, slots=True)
class TapOptions:
    """One `interceptor tap`."""

    target: str | None
    wanted: Filter = field(default_factory=Filter)
    callers: tuple[str, ...] = ()  # deploy/web, web, a pod, a namespace as web.shop, an address
    most: int = 0  # 0: until cancelled
    secrets: bool = False
    bodies: int = 0
    attach: bool = False  # where nobody intercepts it, read along in its pods
    image: str | None = None  # for that, as for an intercept's agent
    rps: int = DEFAULT_RPS  # of the mesh's own tap
    access: Access = field(default_factory=Access)


class NotIntercepted(InterceptorError):
    """Nobody intercepts the workload."""


async def find_session(access: Access, target: str | None, *, beside: bool = False) -> Running:
    """The session on this machine that intercepts `target`; without one, the only session. Raises InterceptorError.

    With `beside` also one that runs COMMAND beside it, if nobody intercepts it.
    """
    found = await running()
    if beside and (target is not None or not found):
        found += await running(beside=True)
    if target is None:
        if len(found) == 1:
            return found[0]
        if not found:
            raise InterceptorError("nothing is intercepted from this machine", hint="interceptor intercept TARGET")
        names = ", ".join(one.title for one in found)
        raise InterceptorError(f"several workloads are intercepted: {names}", hint="name one of them")
    ref = await ref_for(access, target)
    server = open_cluster(access).server
    for one in found:
        same = (one.server, one.namespace, one.kind, one.name)
        if same == (server, ref.namespace, ref.kind.resource.kind, ref.name):
            return one
    raise await _not_here(access, ref)


async def _not_here(access: Access, ref: WorkloadRef) -> InterceptorError:
    """Say who intercepts it, or that nobody does."""
    async with open_cluster(access) as cluster:
        try:
            name = lease_name(ref.kind.resource.kind, ref.name)
            holder = holder_of(await cluster.get(LEASES, ref.namespace, name))
        except NotFound:
            where = f"{ref.title} -n {ref.namespace}"
            hint = f"interceptor intercept {where}, or, to see them without: interceptor tap {where} --attach"
            return NotIntercepted(f"{ref.title} is not intercepted, so its requests don't pass here", hint=hint)
    return InterceptorError(f"{ref.title} is intercepted by {holder}", hint="run this there, as the same user")


async def follow(options: TapOptions, teller: Teller | None = None) -> AsyncGenerator[Record, None]:
    """Records as they come, each with its `caller` where that is known; ends with the session or after `most`.

    Given a teller, also of a workload that nobody intercepts: with `attach`, or where its mesh has a tap.
    """
    try:
        session = await find_session(options.access, options.target, beside=True)
    except NotIntercepted as error:
        if options.target is None or teller is None:
            raise
        other = _attached if options.attach else _by_mesh
        found = other(options, options.target, teller, error)
    else:
        found = follow_session(session, options)
    async with aclosing(found) as records:
        async for record in records:
            yield record


async def _by_mesh(
    options: TapOptions, target: str, teller: Teller, error: NotIntercepted
) -> AsyncGenerator[Record, None]:
    """From Linkerd's viz; `error` where it can't see the workload."""
    wanted = VizOptions(target, options.wanted, options.secrets, options.bodies, options.rps)
    async with open_cluster(options.access) as cluster:
        with teller.busy(f"looking at {target}"):
            plan = await look(cluster, wanted)
        if isinstance(plan, str):
            besides = f"; Linkerd's tap can't see it either: {plan}" if plan else ""
            raise NotIntercepted(error.message + besides, hint=error.hint)
        found = follow_viz(cluster, plan, wanted, teller)
        async with aclosing(_chosen(found, options, Callers(cluster))) as records:
            async for record in records:
                yield record


async def _attached(
    options: TapOptions, target: str, teller: Teller, _error: NotIntercepted
) -> AsyncGenerator[Record, None]:
    wanted = Attached(target, options.image, options.wanted, options.secrets, options.bodies)
    async with (
        open_cluster(options.access) as cluster,
        aclosing(_chosen(attach(cluster, wanted, teller), options, Callers(cluster))) as records,
    ):
        async for record in records:
            yield record


async def follow_session(session: Running, options: TapOptions) -> AsyncGenerator[Record, None]:
    """The same of a session that was found; `options.target` says nothing then."""
    question = {
        "do": "tap",
        "filter": options.wanted.to_json(),
        "secrets": options.secrets,
        "bodies": options.bodies,
    }
    async with (
        open_cluster(options.access) as cluster,
        connect(session.address) as link,
        aclosing(_chosen(link.follow(question), options, Callers(cluster))) as records,
    ):
        async for record in records:
            yield record


async def _chosen(
    found: AsyncGenerator[Record, None], options: TapOptions, callers: Callers
) -> AsyncGenerator[Record, None]:
    """Those that are from whom they should be, with who that is, and no more than are wanted."""
    passed = 0
    async with aclosing(found) as records:
        async for record in records:
            if "tapping" in record:
                continue
            caller = await _add_caller(record, callers)
            if options.callers and not any(is_from(text, caller, record) for text in options.callers):
                continue
            yield record
            passed += 1
            if passed == options.most:
                return


async def _add_caller(record: Record, callers: Callers) -> Caller | None:
    if record.get("direction") != INBOUND:
        return None
    if (told := record.get("caller")) is not None:  # by the mesh
        return Caller(told["pod"], told["namespace"], told["workload"])
    address = address_of(str(record.get("peer", "")))
    caller = callers.known(address) or await callers.find(address)
    if caller is not None and caller.pod != record.get("pod"):  # its own address: the mesh's proxy stands before it
        record["caller"] = {"pod": caller.pod, "namespace": caller.namespace, "workload": caller.workload}
        return caller
    return None


def address_of(peer: str) -> str:
    """The address of `10.1.2.3:4567` or `[::1]:4567`; IPv4 within IPv6 as IPv4."""
    host = peer.rpartition(":")[0].strip("[]")
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return host
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return str(mapped or found)


def is_from(text: str, caller: Caller | None, record: Record) -> bool:
    """Whether a record is from whom `--from` names."""
    if text in (address_of(str(record.get("peer", ""))), record.get("peer"), record.get("caller_id")):
        return True
    if caller is None:
        return False
    names = {caller.workload, caller.workload.rpartition("/")[2], caller.pod, f"pod/{caller.pod}"} - {""}
    return text in names or text in {f"{name}.{caller.namespace}" for name in names}
