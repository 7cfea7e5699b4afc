"""What a person sees of requests, also of a flood of them."""

from __future__ import annotations

from typing import Any

import pytest

from interceptor.cli.tap_lines import MOST_LINES, Screen, bytes_text, milliseconds
from interceptor.mesh.traffic.wording import outcome, who

RECORD: dict[str, Any] = {
    "stage": "ended",
    "time": "2026-11-23T08:00:00.123456+00:00",
    "direction": "inbound",
    "pod": "orders-1",
    "port": 8080,
    "peer": "10.0.0.7:1234",
    "caller_id": "",
    "protocol": "HTTP/1.1",
    "method": "GET",
    "authority": "orders",
    "path": "/books/7",
    "status": 200,
    "failed": False,
    "latency_ms": 12.34,
    "duration_ms": 13.0,
    "request_size": 0,
    "response_size": 1234,
    "request_headers": [["host", "orders"]],
    "response_headers": [["server", "x"]],
}
CALLER = {"pod": "web-5c", "namespace": "shop", "workload": "deploy/web"}


def texts(lines: list[tuple[str, bool]]) -> list[str]:
    return [text for text, _ in lines]


def test_one_line() -> None:
    screen = Screen(120)
    (line,) = texts(screen.add({**RECORD, "caller": CALLER}))
    assert line.split()[1:] == ["deploy/web.shop", "GET", "/books/7", "200", "12ms", "1.2kB"]
    assert screen.title().index("STATUS") == line.index("200")
    assert max(len(line), len(screen.title())) <= 120


def test_trace_is_shown() -> None:
    screen = Screen(120)
    (line,) = texts(screen.add({**RECORD, "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736"}))
    assert line.endswith(" 4bf92f35")
    assert screen.title().index("TRACE") == line.index("4bf92f35")
    assert len(line) <= 120


def test_headers() -> None:
    lines = texts(Screen(120, headers=True).add(RECORD))
    assert lines[1:] == ["    > host: orders", "    < server: x"]


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({}, "200"),
        ({"grpc_status": 5}, "NotFound"),
        ({"grpc_status": 99}, "grpc 99"),
        ({"stage": "open", "status": 0}, "open"),
        ({"stage": "open", "status": 101}, "101 open"),
        ({"cancelled": "the caller"}, "200 cut"),
        ({"cancelled": "the caller", "status": 0}, "cut"),
        ({"status": 0}, "none"),
    ],
)
def test_outcomes(more: dict[str, Any], shown: str) -> None:
    assert outcome({**RECORD, **more}) == shown


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({}, "10.0.0.7:1234"),
        ({"caller": CALLER}, "deploy/web.shop"),
        ({"caller": {**CALLER, "workload": ""}}, "pod/web-5c.shop"),
        ({"caller_id": "web.shop.serviceaccount.identity.linkerd.cluster.local"}, "web.shop"),
        ({"direction": "outbound", "authority": "books:80"}, "-> books:80"),
    ],
)
def test_callers(more: dict[str, Any], shown: str) -> None:
    assert who({**RECORD, **more}) == shown


def test_notes() -> None:
    lines = texts(
        Screen(120).add({**RECORD, "ambiguities": ["no Host"], "unreadable": "why", "cancelled": "the caller"})
    )
    assert [line.strip() for line in lines[1:]] == [
        "cut by the caller",
        "not seen to its end: why",
        "ambiguous, others may read it differently: no Host",
    ]


def test_flood_is_summed_up() -> None:
    screen = Screen(120)
    shown = []
    for number in range(1000):
        failed = number in (500, 501)
        shown += screen.add({**RECORD, "status": 503 if failed else 200, "failed": failed})
    assert len(shown) == MOST_LINES
    summed = screen.tick(7)
    assert [failed for _, failed in summed] == [True, True, False, True]
    assert texts(summed)[2:] == [
        "... 973 more in this second: 973 2xx; most of them 973 GET /books/{id}",
        "... 7 came too fast and were dropped unseen",
    ]
    assert screen.tick(7) == []
    assert len(screen.add(RECORD)) == 1


def test_sums_are_by_route() -> None:
    screen = Screen(120)
    for number in range(1000):
        path = f"/books/{number}" if number % 2 else f"/word{number % 64}/of/many"
        screen.add({**RECORD, "path": path})
    ((text, _),) = screen.tick(0)
    told = text.partition("most of them ")[2].split(", ")
    assert [one.partition(" ")[2] for one in told] == ["GET /{id}/{id}", "GET /{id}/of/many"] or told == [
        "488 GET /books/{id}", "487 GET /{id}/of/many",
    ]  # fmt: skip


def test_a_file_gets_all() -> None:
    screen = Screen(120, limited=False)
    assert sum(len(screen.add(RECORD)) for _ in range(100)) == 100


def test_no_control_of_the_terminal() -> None:
    (line,) = texts(Screen(120).add({**RECORD, "path": "/\x1b[2J\x07"}))
    assert "\x1b" not in line


def test_units() -> None:
    assert [milliseconds(value) for value in (None, 0.04, 9.96, 1234.0, 12_345.0)] == [
        "-",
        "0.0ms",
        "10.0ms",
        "1234ms",
        "12.3s",
    ]
    assert [bytes_text(size) for size in (0, 999, 1000, 123_456, 5_000_000_000)] == [
        "0B",
        "999B",
        "1.0kB",
        "123kB",
        "5.0GB",
    ]
