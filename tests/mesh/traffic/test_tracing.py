"""Which headers name a trace, and which only look so."""

from __future__ import annotations

import pytest

from interceptor.mesh.traffic.tracing import trace_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    "pair",
    [
        ("traceparent", f"00-{TRACE}-{SPAN}-01"),
        ("traceparent", f" 00-{TRACE}-{SPAN}-00 "),
        ("traceparent", f"cc-{TRACE}-{SPAN}-01-what-the-future-brings"),
        ("b3", f"{TRACE}-{SPAN}-1"),
        ("b3", f"{TRACE.upper()}-{SPAN}"),
        ("x-b3-traceid", TRACE),
    ],
)
def test_traces(pair: tuple[str, str]) -> None:
    assert trace_of([("host", "shop"), pair]) == TRACE


@pytest.mark.parametrize(
    "pair",
    [
        ("traceparent", ""),
        ("traceparent", f"00-{'0' * 32}-{SPAN}-01"),
        ("traceparent", f"00-{TRACE}-{'0' * 16}-01"),
        ("traceparent", f"ff-{TRACE}-{SPAN}-01"),
        ("traceparent", f"00-{TRACE.upper()}-{SPAN}-01"),
        ("traceparent", f"00-{TRACE}x-{SPAN}-01"),
        ("b3", "0"),
        ("x-b3-traceid", "<b>"),
        ("x-trace", TRACE),
    ],
)
def test_no_traces(pair: tuple[str, str]) -> None:
    assert trace_of([pair]) == ""


def test_traceparent_comes_first() -> None:
    assert trace_of([("x-b3-traceid", "a" * 16), ("traceparent", f"00-{TRACE}-{SPAN}-01")]) == TRACE
