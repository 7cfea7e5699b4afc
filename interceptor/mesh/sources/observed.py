"""The intercepting session on this machine as a source: it sees every request of the workload; asked by its socket."""

from __future__ import annotations

from typing import Any

from interceptor.mesh.sources.model import OUTBOUND, Query, Route, Table
from interceptor.mesh.sources.saved import table_from_json
from interceptor.mesh.sources.whole import sum_of
from interceptor.mesh.traffic.counts import Counts, bounds_of
from interceptor.mesh.traffic.sockets import Running, connect


class Observed:
    """See `model.Source`."""

    name = "session"

    def __init__(self, session: Running) -> None:
        self._session = session

    async def routes(self, query: Query) -> Table:
        """What passed in the last `window` seconds, or since the intercept began."""
        async with connect(self._session.address) as link:
            answer = await link.ask({"do": "traffic", "window": query.window})
        routes = []
        for direction, authority, name, value in answer["routes"]:
            if direction != query.direction or not _is_wanted(query, authority):
                continue
            counts = Counts.from_json(value)
            quantiles = (counts.quantile(share) for share in (0.5, 0.95, 0.99))
            p50, p95, p99 = (None if seconds is None else seconds * 1000 for seconds in quantiles)
            routes.append(
                Route(
                    name, authority, "path", counts.success, counts.failure, p50=p50, p95=p95, p99=p99,
                    request_bytes=counts.request_bytes, response_bytes=counts.response_bytes,
                    statuses=dict(value["statuses"]), latencies=bounds_of(counts.latencies),
                )
            )  # fmt: skip
        opaque = sum(answer["opaque"].values())
        kinds = ", ".join(f"{count} {why}" for why, count in sorted(answer["opaque"].items()))
        notes = [f"{opaque} connections could not be read: {kinds}"] if opaque else []
        source = f"the session {self._session.session} on this machine"
        table = Table(query.title, source, float(answer["seconds"]), routes, notes, int(answer["connections"]))
        table.whole = sum_of(routes)
        table.before, table.no_before = _before(answer.get("before") or {}, query)
        return table


def _before(answer: dict[str, Any], query: Query) -> tuple[Table | None, str]:
    """What the cluster had before the swap, or why that is not known."""
    told = answer.get(query.direction)
    if told is None:
        return None, str(answer.get("missing") or "nobody had counted these")
    table = table_from_json(told)
    table.routes = [route for route in table.routes if _is_wanted(query, route.service)]
    return table, ""


def _is_wanted(query: Query, service: str) -> bool:
    return query.direction != OUTBOUND or query.is_wanted(service)
