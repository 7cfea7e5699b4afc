"""The table of routes has Linkerd's columns, words and shape."""

from __future__ import annotations

from interceptor.cli.routes_table import Baseline, footer, json_rows, text_table
from interceptor.mesh.sources.model import DEFAULT, Route, Table

ROUTES = [
    Route("/b", "foobar", success=60, p50=123, p95=123.4, p99=5.04),
    Route("/a", "foobar", success=89, failure=1, p50=123, p95=123, p99=123, request_bytes=600, response_bytes=60_000),
    Route("/c", "foobar"),
    Route(DEFAULT, "foobar", success=30, p50=123, p95=123, p99=123),
]
TABLE = Table("deploy/foobar", "the Linkerd proxies of 2 pods", 60.0, ROUTES, ["a note"], 7)


def test_table() -> None:
    lines = text_table(TABLE, outbound=False, wide=False)
    assert [line for line, _ in lines] == [
        "ROUTE       SERVICE   SUCCESS      RPS   LATENCY_P50   LATENCY_P95   LATENCY_P99",
        "/a           foobar    98.89%   1.5rps         123ms         123ms         123ms",
        "/b           foobar   100.00%   1.0rps         123ms         123ms         5.0ms",
        "/c           foobar         -        -             -             -             -",
        "[DEFAULT]    foobar   100.00%   0.5rps         123ms         123ms         123ms",
    ]
    assert [success for _, success in lines] == [None, 89 / 90, 1.0, None, 1.0]


def test_wide() -> None:
    (titles, _), (row, _), *_ = text_table(TABLE, outbound=False, wide=True)
    assert titles.split()[-2:] == ["READ_BYTES/SEC", "WRITE_BYTES/SEC"]
    assert row.split()[-2:] == ["10B/s", "1.0kB/s"]


def test_effective_and_actual() -> None:
    route = Route("/a", "web", success=214, actual_success=214, actual_failure=92, retries=92, timeouts=0)
    (titles, _), (row, _) = text_table(Table("deploy/x", "s", 30.0, [route]), outbound=True, wide=True)
    assert titles.split()[2:6] == ["EFFECTIVE_SUCCESS", "EFFECTIVE_RPS", "ACTUAL_SUCCESS", "ACTUAL_RPS"]
    assert row.split()[2:6] == ["100.00%", "7.1rps", "69.93%", "10.2rps"]
    assert row.split()[-2:] == ["-", "30.07%"]


def test_json() -> None:
    rows = json_rows(TABLE, outbound=False)["deploy/foobar"]
    assert [row["route"] for row in rows] == ["/a", "/b", "/c", DEFAULT]
    first = rows[0]
    assert (first["authority"], first["rps"], first["latency_ms_p50"], first["failures"]) == ("foobar", 1.5, 123, 1)
    assert rows[2]["success"] is None
    effective = json_rows(TABLE, outbound=True)["deploy/foobar"][0]
    assert (effective["effective_rps"], effective["actual_success"]) == (1.5, None)


def test_footer() -> None:
    assert footer(TABLE) == ["from the Linkerd proxies of 2 pods, 60 s, 7 connections open", "note: a note"]


def test_beside_a_baseline() -> None:
    now = Table("deploy/x", "the session x-1 on this machine", 30.0, [Route("/a", success=900, p50=10), Route("/n")])
    then = Table("deploy/x", "the Linkerd proxies of 1 pod", 60.0, [Route("/a", "svc", success=600, failure=300)])
    baseline = Baseline(then, "local", "cluster", "before the swap, the Linkerd proxies of 1 pod")
    lines = text_table(now, outbound=False, wide=False, baseline=baseline)
    assert [line for line, _ in lines] == [
        "ROUTE   SERVICE   WHERE     SUCCESS       RPS   LATENCY_P50   LATENCY_P95   LATENCY_P99   DIFFERENCE",
        "/a          svc   local     100.00%   30.0rps          10ms             -             -   fails less",
        "                  cluster    66.67%   15.0rps             -             -             -",
        "/n            -   local           -         -             -             -             -",
    ]
    assert [success for _, success in lines] == [None, 1.0, None, None]
    assert footer(now, baseline) == [
        "local: the session x-1 on this machine, 30 s",
        "cluster: before the swap, the Linkerd proxies of 1 pod, 60 s",
    ]
    first, second = json_rows(now, outbound=False, baseline=baseline)["deploy/x"]
    assert (first["differs"], first["baseline"]["success"], first["baseline"]["where"]) == (
        {"success": "better"}, 600 / 900, "cluster",
    )  # fmt: skip
    assert (second["baseline"], second["differs"]) == (None, {})


def test_without_figures_from_before() -> None:
    now = Table("deploy/x", "the session", 30.0, [Route("/a")], no_before="no pod had a mesh proxy")
    assert footer(now)[1] == "note: no figures of the cluster from before the swap: no pod had a mesh proxy"
    assert json_rows(now, outbound=False)["deploy/x"][0]["no_baseline"] == "no pod had a mesh proxy"
