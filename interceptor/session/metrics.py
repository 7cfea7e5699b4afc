"""The session's figures for a Prometheus: `intercept` and `run` serve them on loopback where `--metrics PORT` asks for it."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from interceptor.mesh.traffic.hub import Hub
from interceptor.session.events import Event, Teller
from interceptor.session.tunnels import Tunnels

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

PATH = "/metrics"


@contextmanager
def reserved(port: int | None) -> Iterator[socket.socket | None]:
    """Hold the port from before the first change on, so that a taken one costs nothing. Raises InterceptorError."""
    if port is None:
        yield None
        return
    from interceptor.web.loopback import reserve  # noqa: PLC0415  a web server, which other sessions don't need

    with reserve(port, "--metrics") as sock:
        yield sock


async def serve_metrics(
    sock: socket.socket, about: Mapping[str, str], hub: Hub, tunnels: Tunnels, teller: Teller
) -> None:
    """Answer scrapes until cancelled."""
    from prometheus_client import CollectorRegistry  # noqa: PLC0415  see `reserved`
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415

    from interceptor.web.loopback import origin_of, serve_text  # noqa: PLC0415

    registry = CollectorRegistry()
    registry.register(_Collector(about, hub, tunnels))

    def scrape(accept: str) -> tuple[str, bytes]:
        encode, kind = choose_encoder(accept)
        return kind, encode(registry)

    address = f"{origin_of(sock)}{PATH}"
    teller.tell(Event("note", f"metrics are at {address}", details={"metrics": address}))
    await serve_text(sock, PATH, scrape)


class _Collector:
    """See `prometheus_client.registry.Collector`: asked for everything at each scrape."""

    def __init__(self, about: Mapping[str, str], hub: Hub, tunnels: Tunnels) -> None:
        self._about = {name: about[name] for name in ("session", "namespace", "kind", "name")}
        self._hub, self._tunnels = hub, tunnels

    def collect(self) -> Iterator[Metric]:
        """All families."""
        from prometheus_client.core import InfoMetricFamily  # noqa: PLC0415  see `reserved`

        from interceptor.mesh.traffic.openmetrics import families  # noqa: PLC0415

        yield InfoMetricFamily("interceptor_session", "Which workload this session is about.", self._about)
        yield from families(self._hub)
        yield from self._of_tunnels()

    def describe(self) -> list[Metric]:
        """Nothing, so that registering does not collect."""
        return []

    def _of_tunnels(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily  # noqa: PLC0415  see `reserved`

        up = GaugeMetricFamily("interceptor_tunnel_up", "Whether the tunnel to a pod stands.", labels=("pod",))
        streams = GaugeMetricFamily("interceptor_tunnel_streams", "Connections in a pod's tunnel.", labels=("pod",))
        ping = GaugeMetricFamily(
            "interceptor_tunnel_round_trip_seconds", "The last ping, to the agent and back.",
            labels=("pod",), unit="seconds",
        )  # fmt: skip
        probe = GaugeMetricFamily(
            "interceptor_probe_round_trip_seconds",
            "The last probe, from the pod's port to the local process and back.",
            labels=("pod",), unit="seconds",
        )  # fmt: skip
        live = self._tunnels.live
        for agent in self._tunnels.by_pod.values():
            up.add_metric((agent.pod,), float(agent in live))
        for agent in live:
            assert agent.tunnel is not None
            streams.add_metric((agent.pod,), agent.tunnel.streams)
            if agent.tunnel.round_trip:
                ping.add_metric((agent.pod,), agent.tunnel.round_trip)
            if agent.round_trip:
                probe.add_metric((agent.pod,), agent.round_trip / 1000)
        text = "Times that the tunnel to a pod was lost and opened again."
        reconnects = CounterMetricFamily("interceptor_tunnel_reconnects", text, self._tunnels.reconnects)
        yield from (up, streams, ping, probe, reconnects)
