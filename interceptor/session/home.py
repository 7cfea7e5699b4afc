"""Where COMMAND lives: a sandbox in the pod's network, or, where that can't be, this machine with a proxy.

`intercept` and `run` open one as soon as an agent is connected. Which one it is gets said, always: what a program sees
through a proxy is less than what it sees in a sandbox.
"""

from __future__ import annotations

import asyncio
import ipaddress
import platform
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from interceptor.sandbox import doors
from interceptor.sandbox.datagrams import Datagrams
from interceptor.sandbox.dns.resolver import servers
from interceptor.sandbox.environment import compose, own_variables
from interceptor.sandbox.machine import Machine
from interceptor.sandbox.namespace import First, Namespace, SandboxFailed, begin, open_namespace
from interceptor.sandbox.outward import Outward
from interceptor.sandbox.pool import Pool
from interceptor.sandbox.ports import Ports
from interceptor.sandbox.process import find_command, run_command
from interceptor.sandbox.proxy import Proxy
from interceptor.sandbox.spec import Mount, Network, Port, Spec
from interceptor.session.events import Event, Teller
from interceptor.session.options import HomeOptions
from interceptor.session.places import Places, find_places, name_files, name_mounts
from interceptor.session.tunnels import Tunnels
from interceptor.session.volumes import Volumes


class Home(Protocol):
    """COMMAND's place, ready for it."""

    @property
    def pool(self) -> Pool | None:
        """Sockets by which to reach COMMAND; None where it listens on this machine."""

    async def run(self) -> int:
        """Run COMMAND and return its exit status."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to live there. `environ` is the container's."""

    command: Sequence[str]
    environ: Mapping[str, str]
    own_ports: tuple[Port, ...] = ()
    volumes: Volumes | None = None
    begun: First | None = None  # by `begin_home`


async def check_home(options: HomeOptions, command: Sequence[str]) -> None:
    """See that a sandbox that must be one can be made, before anything is changed. Raises SandboxFailed.

    By making one, which takes a tenth of a second: only who typed the mode waits for it, others get what there is.
    """
    if command and options.mode == "namespace":
        from interceptor.sandbox.doctor import try_sandbox  # noqa: PLC0415  most never need it

        failed, _ = await try_sandbox()
        if failed is not None:
            raise failed


@asynccontextmanager
async def begin_home(options: HomeOptions, command: Sequence[str]) -> AsyncIterator[First | None]:
    """Do what takes time and needs no pod yet: while that is started, the sandbox's first process is, too."""
    if not command or options.mode == "proxy" or platform.system() != "Linux":
        yield None
    else:
        async with begin() as first:
            yield first


@asynccontextmanager
async def open_home(
    options: HomeOptions, wanted: Wanted, tunnels: Tunnels, proxy: Proxy, teller: Teller
) -> AsyncIterator[Home]:
    """Make the best home this machine allows, or the one that was asked for. Raises InterceptorError."""
    places = await find_places(options)
    async with AsyncExitStack() as stack:
        home: Home | None = None
        if options.mode != "proxy":
            network = await tunnels.network()
            try:
                _check(network)
                space = await stack.enter_async_context(_open_space(options, wanted, network, places))
                home = _Sandbox(space, network, places, tunnels, teller)
            except SandboxFailed as failed:
                if options.mode == "namespace" or not failed.forbidden:
                    raise
                text = f"{failed.message}: COMMAND stays on this machine and gets the pod's network by proxy only"
                text += "; interceptor doctor says what to type"
                teller.tell(Event("note", text, details={"hint": failed.hint}))
        yield home or _Proxied(options, wanted, proxy, teller)


@asynccontextmanager
async def _open_space(
    options: HomeOptions, wanted: Wanted, network: Mapping[str, Any], places: Places
) -> AsyncIterator[Namespace]:
    """With the volumes by FUSE, else with copies: that this device may not be mounted shows only when it is tried."""
    volumes = wanted.volumes
    mounts = await volumes.mounts() if volumes is not None else ()
    async with AsyncExitStack() as stack:
        try:
            spec = _spec(options, wanted, network, places, mounts)
            opening = open_namespace(spec, volumes.on_fuse if volumes else None, wanted.begun)
            space = await stack.enter_async_context(opening)
        except SandboxFailed as failed:
            if volumes is None or failed.step != "files" or not volumes.served_by_fuse:
                raise
            mounts = await volumes.copied_mounts(failed.message)
            spec = _spec(options, wanted, network, places, mounts)
            space = await stack.enter_async_context(open_namespace(spec))
        yield space


def _check(network: Mapping[str, Any]) -> None:
    if any(ipaddress.ip_address(one).is_loopback for one in network["addresses"]):
        # The embedded cluster: its pods are processes of this machine, its Services addresses of this loopback.
        raise SandboxFailed("pod", "this cluster's pods share this machine's loopback")


def _spec(
    options: HomeOptions, wanted: Wanted, network: Mapping[str, Any], places: Places, mounts: tuple[Mount, ...]
) -> Spec:
    addresses = tuple(str(one) for one in network["addresses"])
    return Spec(
        argv=tuple(wanted.command),
        executable=find_command(wanted.command),
        environ=compose(wanted.environ, own_variables(), None) | dict(options.env),
        hostname=str(network["hostname"]),
        mounts=(*name_mounts(), *mounts),
        files=name_files(network, places),
        network=Network(addresses, wanted.own_ports),
    )


class _Sandbox:
    """COMMAND in namespaces of its own."""

    def __init__(
        self, space: Namespace, network: Mapping[str, Any], places: Places, tunnels: Tunnels, teller: Teller
    ) -> None:
        self._space, self._teller = space, teller
        machine = Machine(places.ports, places.beyond, whole=places.whole)
        self._services = (
            ("connections", Outward(space.doors, tunnels, machine).serve()),
            ("datagrams", Datagrams(space.doors, servers(network["resolv"]), tunnels).serve()),
            ("ports", Ports(space.doors[doors.DIAG], space.pool, self._tell_port).serve()),
        )

    @property
    def pool(self) -> Pool | None:
        """See Home."""
        return self._space.pool

    async def run(self) -> int:
        """See Home."""
        self._teller.tell(Event("note", "COMMAND runs in a sandbox: its network and names are the pod's"))
        if not self._space.low_ports:
            text = "COMMAND can't listen on ports below 1024: /proc/sys is read-only here"
            self._teller.tell(Event("note", text, details={"hint": "interceptor doctor says what to type"}))
        async with asyncio.TaskGroup() as group:
            serving = [group.create_task(service, name=f"sandbox {name}") for name, service in self._services]
            try:
                with self._teller.shared():
                    return await self._space.run()
            finally:
                for task in serving:
                    task.cancel()

    def _tell_port(self, port: int, why: str) -> None:
        details = {"port": port, "published": not why}
        if why:
            text = f"port {port} of COMMAND is not reachable on this machine: {why}"
        else:
            text = f"port {port} of COMMAND is 127.0.0.1:{port} on this machine"
        self._teller.tell(Event("note", text, details=details))


class _Proxied:
    """COMMAND as a process like any other, with variables that name a proxy."""

    pool = None

    def __init__(self, options: HomeOptions, wanted: Wanted, proxy: Proxy, teller: Teller) -> None:
        self._options, self._wanted, self._proxy, self._teller = options, wanted, proxy, teller

    async def run(self) -> int:
        """See Home."""
        environ = compose(self._wanted.environ, own_variables(), self._proxy.address)
        volumes = self._wanted.volumes
        if volumes is not None and volumes.chosen:
            environ["INTERCEPTOR_ROOT"] = folder = await volumes.copies()
            text = (
                f"the pod's volumes are copied to {folder} (INTERCEPTOR_ROOT); only a sandbox has them at their paths"
            )
            self._teller.tell(Event("note", text, details={"root": folder}))
        environ |= dict(self._options.env)
        with self._teller.shared():
            return await run_command(self._wanted.command, environ)
