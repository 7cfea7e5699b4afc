"""The table of workloads has the columns, words and shape of `linkerd viz stat`."""

from __future__ import annotations

from typing import Any

from interceptor.cli.stat_table import footer, json_rows, text_table
from interceptor.mesh.sources.model import DEFAULT, Route, Table
from interceptor.session.stat import Look, Row


def pod(*containers: str, phase: str = "Running") -> dict[str, Any]:
    return {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": name, "image": "x"} for name in containers]},
        "status": {"phase": phase},
    }


WHOLE = Route(DEFAULT, success=89, failure=1, p50=1.5, p95=123, p99=246, request_bytes=600, response_bytes=60_000)
TABLE = Table("deploy/web", "the Linkerd proxies of 1 pod", 60.0, [], ["a note"], 7, WHOLE)
ROWS = [
    Row(
        "shop",
        "deploy",
        "web",
        [pod("app", "linkerd-proxy"), pod("app"), pod("app", phase="Pending")],
        TABLE,
        "proxies",
    ),
    Row("shop", "sts", "db", [pod("db")]),
    Row("shop", "ds", "log", [pod("linkerd-proxy")], unknown="no proxy of ds/log can be asked: forbidden"),
]


def test_table() -> None:
    assert [line for line, _ in text_table(ROWS, namespaces=False, wide=False)] == [
        "NAME         MESHED   SUCCESS      RPS   LATENCY_P50   LATENCY_P95   LATENCY_P99   TCP_CONN",
        "deploy/web      1/2    98.89%   1.5rps         1.5ms         123ms         246ms          7",
        "sts/db          0/1         -        -             -             -             -          -",
        "ds/log          1/1         -        -             -             -             -          -",
    ]
    assert [success for _, success in text_table(ROWS, namespaces=False, wide=False)][1:] == [89 / 90, None, None]


def test_wide_with_namespaces() -> None:
    titles, web, _, log = (line for line, _ in text_table(ROWS, namespaces=True, wide=True))
    assert titles.split()[0] == "NAMESPACE"
    assert titles.split()[-3:] == ["READ_BYTES/SEC", "WRITE_BYTES/SEC", "SOURCE"]
    assert web.split()[:2] == ["shop", "deploy/web"]
    assert web.endswith("10B/s           1.0kB/s   the Linkerd proxies of 1 pod")
    assert log.split()[-1] == "unknown"


def test_footer() -> None:
    assert footer(Look(ROWS, ["pods outside of namespace shop: forbidden"])) == [
        "from the mesh's proxies (1)",
        "nobody counts for 1: no mesh proxy, not intercepted from this machine",
        "note: a note",
        "unknown: ds/log in shop: no proxy of ds/log can be asked: forbidden",
        "unknown: pods outside of namespace shop: forbidden",
    ]


def test_json() -> None:
    web, db, log = json_rows(ROWS)
    assert (web["namespace"], web["kind"], web["name"], web["meshed"]) == ("shop", "deployment", "web", "1/2")
    assert (web["success"], web["rps"], web["latency_ms_p95"]) == (89 / 90, 1.5, 123)
    assert (web["tcp_open_connections"], web["tcp_read_bytes_rate"], web["tcp_write_bytes_rate"]) == (7, 10.0, 1000.0)
    assert (db["success"], db["rps"], db["source"], db["unknown"]) == (None, None, None, None)
    assert log["unknown"] == "no proxy of ds/log can be asked: forbidden"
