"""Figures kept in a file come back whole; a file that is none is refused in one line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from interceptor.errors import InterceptorError
from interceptor.mesh.sources.model import Route, Table
from interceptor.mesh.sources.saved import load, save

TABLE = Table(
    "deploy/orders",
    "the session orders-x on this machine",
    30.5,
    [
        Route(
            "GET /books/{id}", "", "path", 7, 2, p50=1.5, p95=2.0, request_bytes=10, statuses={"200": 7, "grpc 14": 2},
            latencies={1.0: 0.0, 2.0: 9.0, math.inf: 0.5},
        ),
        Route("b", "svc:80", "HTTPRoute", actual_success=3, actual_failure=0, timeouts=1, retries=2),
    ],
    ["a note"],
)  # fmt: skip


def test_comes_back_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    save(file, TABLE, outbound=True)
    saved = load(file)
    assert (saved.table, saved.direction) == (TABLE, "outbound")
    assert saved.at.endswith("+00:00")
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]
    document = json.loads(file.read_text())
    assert (document["format"], document["version"]) == ("interceptor-routes", 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[]", "holds no figures of routes"),
        ('{"format": "har"}', "holds no figures of routes"),
        ('{"format": "interceptor-routes", "version": 2}', "has version 2 of the format, this program knows 1"),
        ('{"format": "interceptor-routes", "version": 1}', "is damaged: 'direction' is missing"),
    ],
)
def test_other_files(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(InterceptorError, match=said) as caught:
        load(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value"),
    [("seconds", 0), ("seconds", "x"), ("routes", 5), ("notes", None), ("workload", ...), ("direction", "sideways")],
)
def test_damaged_tables(tmp_path: Path, place: str, value: object) -> None:
    file = tmp_path / "a.json"
    save(file, TABLE, outbound=False)
    document = json.loads(file.read_text())
    document[place] = value
    if value is ...:
        del document[place]
    file.write_text(json.dumps(document))
    with pytest.raises(InterceptorError, match="is damaged"):
        load(file)


@pytest.mark.parametrize(
    ("place", "value"),
    [("success", -1), ("success", None), ("p50", "x"), ("latencies", [1]), ("latencies", [["x", 1]]), ("statuses", 5),
     ("failure", float("inf")), ("retries", True)],
)  # fmt: skip
def test_damaged_routes(tmp_path: Path, place: str, value: object) -> None:
    file = tmp_path / "a.json"
    save(file, TABLE, outbound=False)
    document = json.loads(file.read_text())
    document["routes"][0][place] = value
    file.write_text(json.dumps(document))
    with pytest.raises(InterceptorError, match="is damaged"):
        load(file)


def test_no_file_no_place(tmp_path: Path) -> None:
    with pytest.raises(InterceptorError, match="can't read"):
        load(tmp_path / "none.json")
    with pytest.raises(InterceptorError, match="can't write"):
        save(tmp_path / "none" / "a.json", TABLE, outbound=False)
