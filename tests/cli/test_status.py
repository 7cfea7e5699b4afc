"""`interceptor status` as a person and as a script reads it."""

from __future__ import annotations

from interceptor.cli.status import _text, document
from interceptor.session.hops import Hop, Report
from tests.cli.test_list import holding
from tests.cli.test_main import typed

WELL = [
    Hop("API server", "ok", "https://cluster:6443", 4.0),
    Hop("pod", "ok", "it runs the agent and is ready", None, "a"),
]
LOST = Hop("tunnel", "failed", "the agent has no tunnel", None, "a", "is the machine awake?")
BEHIND = Hop("local process", "skipped", "not reached", None, "a")


def test_words_end_with_the_failing_hop() -> None:
    text = _text(Report(holding("orders"), [*WELL, LOST, BEHIND]))
    assert text.splitlines() == [
        "deploy/orders in namespace shop, held by ana@laptop since 2026-11-23 07:54:28 UTC",
        "STATE    HOP             TIME     WHAT",
        "ok       API server      4.0 ms   https://cluster:6443",
        "ok       pod             -        a: it runs the agent and is ready",
        "FAILED   tunnel          -        a: the agent has no tunnel",
        "-        local process   -        a: not reached",
        "failing hop: tunnel: the agent has no tunnel; is the machine awake?",
    ]
    assert _text(Report(holding("orders"), WELL)).endswith("every hop is well")


def test_document_is_stable() -> None:
    found = document([Report(holding("orders"), [*WELL, LOST])])
    (one,) = found["intercepts"]
    assert (found["healthy"], one["healthy"]) == (False, False)
    assert one["failing"] == {
        "hop": "tunnel", "state": "failed", "text": "the agent has no tunnel", "ms": None, "pod": "a",
        "hint": "is the machine awake?",
    }  # fmt: skip
    assert [hop["hop"] for hop in one["hops"]] == ["API server", "pod", "tunnel"]
    assert document([]) == {"healthy": True, "intercepts": []}


def test_target_is_in_one_namespace() -> None:
    done = typed("status", "deploy/orders", "-A")
    assert done.returncode == 2
    assert "a TARGET is in one namespace" in done.stderr
