"""Starts the agent in the pod: reads its configuration, listens, serves until SIGTERM, drains, ends.

Way of a request: listener -> inbound -> tunnels' mux -> the developer's machine. Beside it: health answers the kubelet,
outbound connects for the local process, guard restores the workload when the client is gone.
"""

from __future__ import annotations

import functools
import resource
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from agent import config as configuration
from agent.alone import Alone
from agent.drain import Drain
from agent.guard import Guard
from agent.health import Health
from agent.in_place import InPlace
from agent.inbound import Inbound
from agent.inward import Inward
from agent.journal import say
from agent.listener import Listener
from agent.outbound import Outbound
from agent.status import Status
from agent.tunnels import Tunnels
from agent.workers import Workers
from interceptor.tunnel.epoll import EpollPoller

LOOPBACK = "127.0.0.1"  # where a port-forward arrives; other pods do not


def main() -> int:
    """Run until SIGTERM; 0 after an orderly end."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else sys.argv[0]).absolute()
    config = configuration.read(folder if folder.is_dir() else folder.parent)
    if config.policy:
        from agent.policy import serve  # noqa: PLC0415  only a pod of its own needs it: 5 ms less for the others

        return serve(config)
    files_before = raise_limit()
    poller = EpollPoller()
    workers = Workers(poller)
    inbound = Inbound(poller, config.hold)
    # Threads of its own: a thousand slow look-ups of the local process may not keep it from restoring.
    guard = Guard(poller, Workers(poller), config, inbound.hand_over)

    in_place = InPlace(poller, Workers(poller), config, inbound, files_before, lambda: not drain.begun, poller.stop)
    on_change = guard.tunnel
    if config.alone:
        on_change = Alone(poller, config.alone, poller.stop).tunnel
    elif config.app is not None:
        on_change = in_place.tunnel
    tunnels = Tunnels(poller, config, inbound, Outbound(poller, workers), on_change)
    listeners = [Listener(poller, config.bind, port, functools.partial(inbound.arrived, port)) for port in config.ports]
    tunnel_listener = Listener(poller, config.bind or LOOPBACK, config.tunnel_port, tunnels.arrived)
    inward = [Inward(poller, config.bind, port, lambda: inbound.mux) for port in config.datagrams]
    in_place.listeners = [*listeners, *inward, tunnel_listener]
    drain = Drain(poller, inbound, tunnels, guard, in_place.listeners, config.grace)

    def is_ready() -> bool:
        return in_place.ready if in_place.started else (tunnels.armed or guard.unneeded) and not drain.begun

    def guard_state() -> str:
        return guard.state if config.app is None else in_place.state

    health = Health(poller, is_ready, lambda: drain.begun)
    tunnels.on_armed = guard.on_restored = in_place.on_ready = health.look_again
    health.pages = Status(poller, config, tunnels, inbound, guard_state, lambda: drain.begun).pages
    Listener(poller, config.bind, config.health_port, health.arrived)

    def begin_end() -> None:
        drain.begin()
        health.look_again()

    on_signal(poller, begin_end)
    guard.start()
    if config.app is not None:
        in_place.start()
    served = [*map(str, config.ports), *(f"{port}/udp" for port in config.datagrams)]
    say(f"session {config.session}: listening on {', '.join(served)}")
    poller.run()
    return 0


def raise_limit() -> int:
    """As many descriptors as we may have: each connection holds one, and a usual soft limit is 1,024. Returns what it was."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return soft


def on_signal(poller: EpollPoller, begin_end: Callable[[], None]) -> None:
    """Call `begin_end` on the loop at SIGTERM or SIGINT. Children of others that land on process 1 are reaped."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    def read() -> None:
        ours.recv(64)
        begin_end()

    poller.readable(ours.fileno(), read)
    _KEPT.extend((ours, theirs))


_KEPT: list[socket.socket] = []  # a socket pair that the garbage collector must not close


if __name__ == "__main__":
    sys.exit(main())
