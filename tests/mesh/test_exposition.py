"""Samples are found in a proxy's metrics whatever their labels hold."""

from __future__ import annotations

from pathlib import Path

import e2e.mesh
from interceptor.mesh.exposition import samples

RECORDED = (Path(e2e.mesh.__file__).parent / "metrics.prom").read_text()


def test_brace_in_a_label() -> None:
    (sample,) = samples('route_total{rt_route="GET /books/{id}",dst="a"} 7 1700\n', ["route_total"])
    assert sample.labels == {"rt_route": "GET /books/{id}", "dst": "a"}
    assert sample.value == 7


def test_escapes_are_undone() -> None:
    (sample,) = samples('a{b="x\\"y\\\\z\\n"} 1\n', ["a"])
    assert sample.labels == {"b": 'x"y\\z\n'}


def test_no_other_name_is_taken() -> None:
    text = "# TYPE a counter\na_total 3\na 1\nab 2\na{ 4\na x\n"
    assert [(sample.name, sample.value) for sample in samples(text, ["a"])] == [("a", 1.0)]


def test_real_metrics_are_read() -> None:
    found = list(samples(RECORDED, ["control_destination_balancer_endpoints"]))
    assert {sample.labels["endpoint_state"]: sample.value for sample in found} == {"ready": 1, "pending": 0}
